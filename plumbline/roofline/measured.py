"""What was measured, as raw results in ``benchmarks/history`` have it, each with the request and the stages that it was."""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from plumbline.real_sizes import Grid
from plumbline.roofline.ceilings import ROOT
from plumbline.roofline.request import Request
from plumbline.roofline.tower import tower

FOLDER = "benchmarks/history"
ENCODER, ENCODER_TEXT = "2026-11-21-57f9a91-device-encoder.json", "2026-11-21-76dbb9c-device-encoder.txt"
HASH, TRANSPORT = "2026-11-21-665bcd0-device-hash.json", "2026-11-21-665bcd0-device-transport.json"
RANKS = "2026-11-21-dc93c25-device-ranks.json"
SIDES: dict[int, Grid] = {256: (1, 16, 16), 2560: (1, 40, 64), 6144: (1, 64, 96), 19136: (1, 104, 184)}
"""Patches, and the sides of the images that transport and hashes were measured with: float32, 1,536 numbers each."""
PATCH_BYTES = 4 * 1536
ENCODED = ("linears", "attention", "memory")


@dataclass(frozen=True)
class Measured:
    """microseconds: the median, of exactly these stages of the request. source: the raw result, below ``FOLDER``."""

    case: str
    request: Request
    stages: tuple[str, ...]
    microseconds: float
    source: str

    def fits(self, request: Request) -> bool:
        """Whether it is a measurement of these stages of this request, too."""
        return _key(self.request, self.stages) == _key(request, self.stages)


def _key(request: Request, stages: Sequence[str]) -> tuple[object, ...]:
    """All of a request that these stages depend on."""
    key: tuple[object, ...] = (stages,)
    if "hash" in stages:
        key += (request.origin == "gpu", tuple(sorted(request.nbytes([grid]) for grid in request.grids)))
    if "link" in stages or "H2D" in stages:
        sizes = tuple(sorted(request.nbytes([grid]) for grid in request.missing))
        key += (request.origin, request.staged, request.ranks, request.shared, request.own_gpu, sizes)
    if "linears" in stages:
        whose = request.ranks if request.shared else 1
        key += (request.family, request.hidden, whose, tuple(sorted(request.missing)))
    return key


@cache
def measurements() -> tuple[Measured, ...]:
    """All of them, in the order of the stages."""
    return (*_hashes(), *_transport(), *_encoder(), *_alone(), *_ranks())


def _raw(name: str) -> Any:
    return json.loads((ROOT / FOLDER / name).read_text(encoding="utf-8"))


def _image(grids: Sequence[Grid], **sizes: Any) -> Request:
    return Request("qwen3_vl", tuple(grids), 0, tower("qwen3_vl").out, payload_bytes=4, **sizes)


def _hashes() -> Iterator[Measured]:
    for row in _raw(HASH)["rows"]:
        sides = [SIDES.get(nbytes // PATCH_BYTES) if nbytes % PATCH_BYTES == 0 else None for nbytes in row["bytes"]]
        grids = [grid for grid in sides if grid]
        if len(grids) < len(sides):
            continue
        for way, origin in (("digests", "gpu"), ("blake3 on the host, up to 8 threads", "pinned")):
            where = "on the GPU" if origin == "gpu" else "on the host"
            middle = statistics.median(row["microseconds"][way])
            yield Measured(f"hash {row['case']} {where}", _image(grids, origin=origin), ("hash",), middle, HASH)


def _transport() -> Iterator[Measured]:
    for row in _raw(TRANSPORT)["one_way"]:
        grids = [SIDES[row["bytes"] // PATCH_BYTES]]
        for way, staged in (("staged", True), ("in place", False)):
            request = _image(grids, staged=staged, own_gpu=row["reader"] == 0)
            case = f"{row['bytes'] / (1 << 20):.3g} MiB {way} to GPU {row['reader']}"
            middle = statistics.median(row["ways"][f"optimized, {way}"]["one_way"])
            yield Measured(case, request, ("stage", "link"), middle, TRANSPORT)


def _encoder() -> Iterator[Measured]:
    for row in _raw(ENCODER)["rows"]:
        family = row["family"]
        request = Request(family, tuple((t, h, w) for t, h, w in row["images"]), 0, tower(family).out)
        middle = 1e3 * statistics.median(row["milliseconds"]["tower"])
        yield Measured(f"{family}, {row['case']} patches", request, ENCODED, middle, ENCODER)
        middle = 1e3 * statistics.median(row["milliseconds"]["encode from the host"])
        request = Request(family, request.grids, 0, request.hidden, origin="pageable", staged=True)
        case = f"{family}, {row['case']} patches, from the host"
        yield Measured(case, request, ("stage", "H2D", *ENCODED), middle, ENCODER)


def _alone() -> Iterator[Measured]:
    """Single images of sizes that the later run did not have."""
    for family, section in _sections():
        for side in (8, 32):
            found = re.search(rf"^1x{side * side} (\{{.*\}})$", section, re.MULTILINE)
            assert found, f"{ENCODER_TEXT} has no image of {side * side} patches for {family}"
            middle = 1e3 * ast.literal_eval(found[1])["call"][0]
            request = Request(family, ((1, side, side),), 0, tower(family).out)
            yield Measured(f"{family}, 1 x {side * side:,} patches", request, ENCODED, middle, ENCODER_TEXT)


def _ranks() -> Iterator[Measured]:
    for step in _raw(RANKS)["steps"]:
        request = Request("qwen3_vl", ((1, 32, 32),) * 32, 0, tower("qwen3_vl").out, ranks=step["ranks"])
        case = f"qwen3_vl, 32 x 1,024 patches, ranks: {step['ranks']}"
        yield Measured(case, request, (*ENCODED, "gather"), 1e3 * step["ms"], RANKS)


def _sections() -> Iterator[tuple[str, str]]:
    for section in (ROOT / FOLDER / ENCODER_TEXT).read_text(encoding="utf-8").split("\n== ")[1:]:
        yield section.split("\n", 1)[0], section


@dataclass(frozen=True)
class Spent:
    """Where a measured time went. parts: (what, microseconds), which add up to ``microseconds``."""

    case: str
    microseconds: float
    parts: tuple[tuple[str, float], ...]
    source: str


KERNELS = {
    "linears": ("aten::addmm", "aten::_addmm_activation"),
    "attention": ("attend",),
    "norms and residual sums": ("norm_rows",),
    "rotation": ("turn",),
    "gated activation": ("gate",),
}


def spent() -> tuple[Spent, ...]:
    """Transport of 36 MiB in place to another GPU, and the kernels of each tower for 32 images of 1,024 patches."""
    row = next(r for r in _raw(TRANSPORT)["one_way"] if r["bytes"] == 6144 * PATCH_BYTES and r["reader"] == 1)
    ways = row["ways"]
    whole = statistics.median(ways["optimized, in place"]["one_way"])
    on_host = ("publish", "receive", "open")
    parts = [(part, statistics.median(ways["optimized, in place"][part])) for part in on_host]
    parts.insert(1, ("message", statistics.median(ways["message alone"]["one_way"])))
    parts.append(("link, launch and wait", whole - sum(took for _, took in parts)))
    found = [Spent("36 MiB in place to another GPU", whole, tuple(parts), TRANSPORT)]
    for family, section in _sections():
        device = re.search(r"Self CUDA time total: ([\d.]+)ms", section)
        assert device, f"{ENCODER_TEXT} has no profile of {family}"
        whole = 1e3 * float(device[1])
        parts = [(part, sum(profiled(section, name) for name in names)) for part, names in KERNELS.items()]
        parts = [(part, took) for part, took in parts if took]
        parts.append(("all else", whole - sum(took for _, took in parts)))
        case = f"{family}, 32 x 1,024 patches, kernels of one call"
        found.append(Spent(case, whole, tuple(parts), ENCODER_TEXT))
    return tuple(found)


def profiled(section: str, name: str) -> float:
    """Microseconds of the device's own time that a profile gives to an operator; 0 where it was not called."""
    found = re.search(rf"^ *{re.escape(name)} +\S+ +\S+ +\S+ +\S+ +\S+ +(\S+)(ms|us) ", section, re.MULTILINE)
    return float(found[1]) * (1e3 if found[2] == "ms" else 1.0) if found else 0.0
