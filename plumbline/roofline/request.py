"""One request on paper: for each stage the bytes over each link, the operations on each unit, and the floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from plumbline.real_sizes import Grid
from plumbline.roofline.ceilings import Ceilings
from plumbline.roofline.tower import NUMBER, Part, Tower, attention, linears, memory, shares, tower

Origin = Literal["gpu", "pinned", "pageable"]
ORIGINS: tuple[Origin, ...] = ("gpu", "pinned", "pageable")
HOST, PCIE, HBM, NVLINK = LINKS = ("host memory", "PCIe", "HBM", "NVLink")
TENSOR_CORES = "tensor cores"

WHY = {
    "hash": "Each payload byte is read once where it lies, cached or not, since only the digest tells that it is cached.",
    "stage": "A payload that was not produced in the pool is read and written once, by a copy on its own side.",
    "link": "From the pool on the worker's GPU each reader on another GPU draws the payload once; all of it leaves one GPU.",
    "H2D": "From the host each reader draws the payload once over its own GPU's link; the slowest rank sets the floor.",
    "linears": "2 x rows x outputs x inputs operations each; weights, inputs and outputs pass the memory once. Busiest rank.",
    "attention": "4 x length squared x hidden size operations per segment and layer, at its length's ceiling. Busiest rank.",
    "memory": "Norms, residual sums, rotation: 12 passes over the hidden state a layer, at a copy's speed. Busiest rank.",
    "gather": "Where ranks share the images, each receives the rows that the others encoded.",
    "merge": "Each rank reads its tokens' embeddings and the images' rows of all levels, and writes them once.",
}
"""How each stage's numbers come about; the stages in their order."""


class RequestError(ValueError):
    """The sizes describe no request."""


@dataclass(frozen=True)
class Request:
    """grids: of patches, one to an image, the ``cached`` first of which are not encoded. hidden: of the language model.

    payload_bytes: of a number in a payload. staged: copied into the pool; otherwise produced in it, or, on the host, read
    where it lies. shared: each image is read and encoded by one rank and the rows are gathered; otherwise every rank reads
    and encodes all. own_gpu: rank 0 runs on the worker's GPU and reads the pool there. Raises RequestError.
    """

    family: str
    grids: tuple[Grid, ...]
    text: int
    hidden: int
    payload_bytes: int = 2
    origin: Origin = "gpu"
    ranks: int = 1
    staged: bool = False
    shared: bool = True
    own_gpu: bool = False
    cached: int = 0

    def __post_init__(self) -> None:
        if not all(len(grid) == 3 and min(grid) > 0 for grid in self.grids):
            raise RequestError("a grid is three positive numbers")
        if not all(height % 2 == 0 and width % 2 == 0 for _, height, width in self.grids):
            raise RequestError("two by two patches make a row: heights and widths are even")
        if not 0 <= self.cached <= len(self.grids):
            raise RequestError(f"{self.cached} images cannot be cached of {len(self.grids)}")
        if min(self.ranks, self.hidden, self.payload_bytes) < 1 or self.text < 0 or self.origin not in ORIGINS:
            raise RequestError("ranks, hidden size and bytes are positive, and a payload starts in one of three places")

    @property
    def tower(self) -> Tower:
        return tower(self.family).with_out(self.hidden)

    @property
    def missing(self) -> tuple[Grid, ...]:
        """The images that are sent and encoded."""
        return self.grids[self.cached :]

    def nbytes(self, grids: Iterable[Grid]) -> int:
        """Of their payloads."""
        of = self.tower
        return self.payload_bytes * of.patch * sum(of.patches(grid) for grid in grids)

    def times(self, count: int) -> Request:
        """That many such requests, handled as one."""
        hits, misses = self.grids[: self.cached], self.missing
        return replace(self, grids=hits * count + misses * count, cached=self.cached * count, text=self.text * count)


@dataclass(frozen=True)
class Stage:
    """nbytes: over each link, all ranks together. operations: on each unit, likewise. floor: microseconds; None where no
    ceiling was measured. bound: the resource that sets it."""

    name: str
    nbytes: Mapping[str, float]
    operations: Mapping[str, float]
    floor: float | None
    bound: str

    @property
    def why(self) -> str:
        return WHY[self.name]


def model(request: Request, ceilings: Ceilings) -> tuple[Stage, ...]:
    """All stages, in order. Those with nothing to do take no time."""
    by_rank = shares(request.tower, request.missing, request.ranks) if request.shared else None
    owned = by_rank or [list(request.missing)] * request.ranks
    return (
        _hash(request, ceilings),
        _stage(request, ceilings),
        *_moves(request, owned, ceilings),
        *_encode(request.tower, owned, ceilings),
        _gather(request, owned, ceilings),
        _merge(request, ceilings),
    )


def total(stages: Iterable[Stage], names: Iterable[str] | None = None) -> float:
    """Microseconds of these stages one after the other, for a request that is alone. One without ceiling counts as nothing."""
    wanted = WHY if names is None else frozenset(names)
    return sum(stage.floor or 0.0 for stage in stages if stage.name in wanted)


def _hash(request: Request, ceilings: Ceilings) -> Stage:
    nbytes = request.nbytes(request.grids)
    on_gpu = request.origin == "gpu"
    table = "BLAKE3 on the GPU" if on_gpu else "BLAKE3 on the host"
    seconds = ceilings.tabled(nbytes, table, max(nbytes, 1))
    return Stage("hash", {HBM if on_gpu else HOST: nbytes}, {}, 1e6 * seconds, table)


def _stage(request: Request, ceilings: Ceilings) -> Stage:
    moved = 2.0 * request.nbytes(request.missing) * request.staged
    if request.origin == "gpu":
        return Stage("stage", {HBM: moved}, {}, 1e6 * ceilings.seconds(moved, HBM), HBM)
    return Stage("stage", {HOST: moved}, {}, None if moved else 0.0, HOST)


def _moves(request: Request, owned: list[list[Grid]], ceilings: Ceilings) -> tuple[Stage, Stage]:
    loads = [request.nbytes(grids) for grids in owned]
    whole = sum(loads)
    if request.origin == "gpu":
        far = whole - loads[0] * request.own_gpu
        link = Stage("link", {NVLINK: far, HBM: 2 * far}, {}, 1e6 * ceilings.seconds(far, NVLINK), NVLINK)
        return link, Stage("H2D", {}, {}, 0.0, PCIE)
    pageable = request.origin == "pageable" and not request.staged
    floor = 1e6 * ceilings.seconds(max(loads), "PCIe, pageable" if pageable else "PCIe, pinned")
    return Stage("link", {}, {}, 0.0, NVLINK), Stage("H2D", {HOST: whole, PCIE: whole, HBM: whole}, {}, floor, PCIE)


def _encode(of: Tower, owned: list[list[Grid]], ceilings: Ceilings) -> list[Stage]:
    ranks = [encode(of, grids, ceilings) for grids in owned]
    busiest = max(ranks, key=lambda parts: sum(part.seconds for part in parts))
    stages = []
    for place, name in enumerate(("linears", "attention", "memory")):
        nbytes = sum(parts[place].nbytes for parts in ranks)
        operations = sum(parts[place].operations for parts in ranks)
        units = {TENSOR_CORES: operations} if operations else {}
        stages.append(Stage(name, {HBM: nbytes}, units, 1e6 * busiest[place].seconds, busiest[place].bound))
    return stages


def encode(of: Tower, grids: list[Grid], ceilings: Ceilings) -> tuple[Part, Part, Part]:
    """What one rank does in one call: linears, attention, and the rest, which is memory."""
    patches = sum(of.patches(grid) for grid in grids)
    return linears(of, patches, ceilings), attention(of, grids, ceilings), memory(of, patches, ceilings)


def _gather(request: Request, owned: list[list[Grid]], ceilings: Ceilings) -> Stage:
    if not request.shared or request.ranks == 1:
        return Stage("gather", {}, {}, 0.0, NVLINK)
    of = request.tower
    blocks = [sum(of.rows(grid) for grid in grids) * row_bytes(request) for grids in owned]
    moved = (request.ranks - 1) * sum(blocks)
    floor = 1e6 * ceilings.seconds(sum(blocks) - min(blocks), NVLINK)
    return Stage("gather", {NVLINK: moved, HBM: 2 * moved}, {}, floor, NVLINK)


def row_bytes(request: Request) -> int:
    """Of a row of all levels."""
    return NUMBER * request.hidden * (1 + request.tower.levels)


def _merge(request: Request, ceilings: Ceilings) -> Stage:
    of = request.tower
    rows = sum(of.rows(grid) for grid in request.grids)
    each = 2 * (rows * row_bytes(request) + NUMBER * request.hidden * request.text)
    return Stage("merge", {HBM: each * request.ranks}, {}, 1e6 * ceilings.seconds(each, HBM), HBM)
