"""What a vision tower has to do for some images: operations and bytes, and the time that the ceilings allow for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from plumbline.real_sizes import MERGED, SIZES, Grid, Work
from plumbline.roofline.ceilings import Ceilings

PATCH = {"qwen3_vl": 3 * 2 * 16 * 16, "qwen2_5_vl": 3 * 2 * 14 * 14, "kimi_k25": 3 * 14 * 14}
"""Numbers in a patch: colours, frames, height, width."""
POOLED = frozenset({"kimi_k25"})
"""Families whose frames attend to one another, and are averaged into the rows of one."""
NUMBER = 2
"""Bytes of a number in the tower, which is in bfloat16."""
PASSES = 12
"""How often a layer's smaller kernels at least read or write the hidden state: each of two residual sums with a norm reads two
and writes two, and the rotation reads and writes queries and keys."""
EVEN = 4096
"""The length of a segment at which attention costs as much as the linears: what images are shared out by."""


@dataclass(frozen=True)
class Tower:
    """Sizes that the model needs. window: in patches, 0 for none; linears: (patches to a row, outputs, inputs, how many)."""

    hidden: int
    layers: int
    window_layers: int
    window: int
    heads: int
    patch: int
    levels: int
    pooled: bool
    linears: tuple[tuple[int, int, int, int], ...]

    @property
    def out(self) -> int:
        """Width of a row."""
        return self.linears[-1][1]

    def with_out(self, out: int) -> Tower:
        """The same for a language model of another hidden size, which the last linear gives."""
        joined, _, inputs, count = self.linears[-1]
        return replace(self, linears=(*self.linears[:-1], (joined, out, inputs, count)))

    def patches(self, grid: Grid) -> int:
        frames, height, width = grid
        return frames * height * width

    def rows(self, grid: Grid) -> int:
        return self.patches(grid) // (MERGED * (grid[0] if self.pooled else 1))

    def cost(self, grid: Grid) -> int:
        """What images are shared out by: its patches, dearer the longer their segment is."""
        segment = self.patches(grid) if self.pooled else grid[1] * grid[2]
        return self.patches(grid) * (EVEN + segment)


@cache
def tower(family: str) -> Tower:
    """The released sizes of a family in ``plumbline.real_sizes``."""
    sizes, work = SIZES[family], Work(family)
    linears = [(1, work.hidden, PATCH[family], 1)]
    linears += [(joined, shape[0], shape[1], count) for joined, shape, count in work.linears()]
    return Tower(
        work.hidden,
        work.layers,
        work.window_layers,
        sizes.get("window_size", 0) // 14,
        work.heads,
        PATCH[family],
        len(sizes.get("deepstack_visual_indexes", ())),
        family in POOLED,
        tuple(linears),
    )


@dataclass(frozen=True)
class Part:
    """operations: of the tensor cores. nbytes: to and from the GPU's memory. seconds: the floor. bound: what sets it."""

    operations: float
    nbytes: float
    seconds: float
    bound: str


def part(operations: float, seconds: float, nbytes: float, ceilings: Ceilings) -> Part:
    """Operations and bytes at the same time: the slower of the two sets the floor."""
    memory = ceilings.seconds(nbytes, "HBM")
    return Part(operations, nbytes, max(seconds, memory), "tensor cores" if seconds >= memory else "HBM")


def linears(of: Tower, patches: int, ceilings: Ceilings) -> Part:
    """2 x rows x outputs x inputs operations each; weights, inputs and outputs pass the memory once."""
    operations = sum(2 * patches / joined * outputs * inputs * count for joined, outputs, inputs, count in of.linears)
    numbers = sum(
        count * (outputs * inputs + patches / joined * (outputs + inputs))
        for joined, outputs, inputs, count in of.linears
    )
    busy = bool(patches)
    return part(operations, ceilings.tabled(operations, "linears", max(patches, 1)), NUMBER * numbers * busy, ceilings)


def attention(of: Tower, grids: Iterable[Grid], ceilings: Ceilings) -> Part:
    """4 x length squared x hidden size operations for each segment and layer; queries, keys, values and results pass memory."""
    operations = seconds = nbytes = 0.0
    table = f"attention {of.hidden // of.heads}"
    for (length, layers), count in segments(of, grids).items():
        work = 4.0 * length**2 * of.hidden * layers * count
        operations += work
        seconds += ceilings.tabled(work, table, length)
        nbytes += 4.0 * NUMBER * of.hidden * length * layers * count
    return part(operations, seconds, nbytes, ceilings)


def memory(of: Tower, patches: int, ceilings: Ceilings) -> Part:
    """Norms, residual sums and rotation: the fewest passes over the hidden state that a layer needs."""
    nbytes = float(PASSES * NUMBER * patches * of.hidden * of.layers)
    return part(0.0, 0.0, nbytes, ceilings)


def segments(of: Tower, grids: Iterable[Grid]) -> Counter[tuple[int, int]]:
    """How many segments there are, by (length, layers that see it)."""
    found: Counter[tuple[int, int]] = Counter()
    for (frames, height, width), count in Counter(grids).items():
        full = of.layers - of.window_layers
        if of.pooled:
            found[frames * height * width, full] += count
        else:
            found[height * width, full] += frames * count
        if of.window:
            for tall in cut(height, of.window):
                for wide in cut(width, of.window):
                    found[tall * wide, of.window_layers] += frames * count
    return found


def cut(size: int, side: int) -> list[int]:
    return [min(side, size - at) for at in range(0, size, side)]


def shares(of: Tower, grids: Iterable[Grid], ranks: int) -> list[list[Grid]]:
    """The images of each rank: the most costly first, each to the rank that has the least to do."""
    loads = [0] * ranks
    found: list[list[Grid]] = [[] for _ in range(ranks)]
    for grid in sorted(grids, key=lambda grid: -of.cost(grid)):
        rank = loads.index(min(loads))
        loads[rank] += of.cost(grid)
        found[rank].append(grid)
    return found
