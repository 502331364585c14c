"""Certifies that a tower is batch invariant where it runs: an item gives the same bits, whatever else is in the call.

    certificate = certify(tower)                             # finds the row floor and sets it: tower.row_floor
    path.write_text(certificate.to_json())
    Certificate.from_json(path.read_text()).check(tower)     # raises NotCertified anywhere else

A matrix product may round a row differently when there are few rows in all. A *row floor* is a number of rows from
which on it does not. It is a property of device, library, threads, dtype and shape, so it is measured, in two steps:
every linear shape is swept over row counts, then whole calls are compared, each item alone and among others. A tower
without a certificate that ``check`` accepts does not claim invariance.

A tower is certified by what ``plumbline.interface.LoadedTower`` names, without ``update``: ``linear_shapes`` are those of
the linears that it evaluates with ``torch.nn.functional.linear`` and a bias, each among at least ``row_floor`` rows. What
it evaluates otherwise (``FusesLinears``) is swept as it evaluates it, since other kernels round otherwise.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import (
    Encoded,
    FusesLinears,
    Layout,
    LoadedTower,
    Modality,
    Packed,
    PackedItem,
    PlumblineError,
    Tower,
    TowerSpec,
)
from plumbline.small_tower import values

ROW_COUNTS = (*range(1, 65), 79, 96, 108, 127, 160, 201, 256, 289, 300, 385, 512, 777, 1024, 1537, 2048, 3001, 4096)
"""Every small count, then odd and even ones up to well beyond usual tiles. All are held against the last."""
WINDOWS = 64
"""Of the input, at most, that each count is tried on."""

GRIDS = ((1, 1, 1), (1, 1, 2), (1, 3, 2), (2, 1, 2), (1, 4, 4), (3, 2, 3), (1, 1, 5), (1, 5, 7))
"""Frames, height and width in rows of output: tiny items beside larger ones, and videos."""

TILES = ((1,), (2,), (3, 1))
"""Tiles in each payload tensor of an item, for layouts without grids."""


Linear = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [n, inputs], weight, bias) -> [n, outputs]"""


class NotCertified(PlumblineError):
    """The certificate does not hold for this tower here: the tower claims no invariance."""


@dataclass(frozen=True)
class Setting:
    """What a row floor depends on, apart from the shapes.

    implementation: the tower's class. threads: 0 where the CPU's do not matter. triton: its version, empty on the CPU.
    """

    implementation: str
    device: str
    capability: str
    threads: int
    torch: str
    triton: str
    libraries: tuple[str, ...]
    dtype: str
    float32_precision: str

    @staticmethod
    def of(tower: LoadedTower) -> Setting:
        """The setting in which ``tower`` would run now."""
        if tower.device.type == "cuda":
            device, threads, triton = torch.cuda.get_device_name(tower.device), 0, version("triton")
            capability = ".".join(map(str, torch.cuda.get_device_capability(tower.device)))
        else:
            device, threads, triton = processor_name(), torch.get_num_threads(), ""
            capability = torch.backends.cpu.get_cpu_capability()
        build = [line.strip(" -") for line in torch.__config__.show().splitlines()]
        return Setting(
            implementation=f"{type(tower).__module__}.{type(tower).__qualname__}",
            device=device,
            capability=capability,
            threads=threads,
            torch=torch.__version__,
            triton=triton,
            libraries=tuple(line for line in build if line.startswith(("Intel", "CUDA Runtime", "CuDNN", "OpenBLAS"))),
            dtype=str(tower.spec.dtype),
            float32_precision=torch.get_float32_matmul_precision(),
        )


@dataclass(frozen=True)
class Certificate:
    """What was tried, and what came of it.

    shapes: (outputs, inputs) of the linears. row_counts: what each was swept over. differing: (outputs, inputs, count)
    where rows had other bits than among the most rows. row_floor: the smallest count from which on all agree, or None.
    items: those of the whole calls. broken: those among them that had other bits in company than alone.
    """

    tower: str
    setting: Setting
    shapes: tuple[tuple[int, int], ...]
    row_counts: tuple[int, ...]
    differing: tuple[tuple[int, int, int], ...]
    row_floor: int | None
    items: tuple[str, ...]
    broken: tuple[str, ...]

    @property
    def invariant(self) -> bool:
        """The verdict."""
        return self.row_floor is not None and not self.broken

    def check(self, tower: LoadedTower) -> None:
        """Raises NotCertified unless the verdict is good and ``tower`` is as it was certified, in the same setting."""
        if not self.invariant:
            reason = "no row floor is enough" if self.row_floor is None else f"other bits for {', '.join(self.broken)}"
            raise NotCertified(reason, where=self.tower)
        now = Setting.of(tower)
        pairs = {field.name: (getattr(self.setting, field.name), getattr(now, field.name)) for field in fields(Setting)}
        pairs["tower"] = (self.tower, tower.spec.name)
        pairs["shapes"] = (self.shapes, tuple(tower.linear_shapes))
        pairs["row_floor"] = (self.row_floor, tower.row_floor)
        for name, (then, here) in pairs.items():
            if then != here:
                raise NotCertified(f"certified for {then}, but here {here}", where=name, hint="certify it again, here")

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"invariant": self.invariant}, indent=1)

    @staticmethod
    def from_json(text: str) -> Certificate:
        """Raises NotCertified: the text is not a certificate."""
        try:
            raw = json.loads(text)
            raw.pop("invariant")
            setting = Setting(**{name: _tuples(value) for name, value in raw.pop("setting").items()})
            return Certificate(setting=setting, **{name: _tuples(value) for name, value in raw.items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise NotCertified(f"not a certificate: {error}") from error


def certify(
    tower: LoadedTower, row_counts: Sequence[int] = ROW_COUNTS, items: Sequence[Packed] | None = None
) -> Certificate:
    """Measures, and leaves ``tower.row_floor`` at the floor that was found (unchanged where there is none).

    row_counts: ascending. items: calls of one item each; None: a few sizes of every layout of the tower.
    """
    swept: list[tuple[tuple[int, int], Linear]] = [(shape, F.linear) for shape in tower.linear_shapes]
    if isinstance(tower, FusesLinears):
        swept += tower.fused_linears().items()
    differing = tuple(
        sorted({(*shape, count) for shape, linear in swept for count in sweep_linear(tower, shape, row_counts, linear)})
    )
    floor = smallest_floor(row_counts, {count for _, _, count in differing})
    items = sample_items(tower) if items is None else items
    broken: list[int] = []
    if floor is not None:
        tower.row_floor = floor
        broken = changed_in_company(tower, items)
    names = tuple(f"{item.modality.value} {item.grid_thw or item.parts}" for call in items for item in call.items)
    return Certificate(
        tower=tower.spec.name,
        setting=Setting.of(tower),
        shapes=tuple(tower.linear_shapes),
        row_counts=tuple(row_counts),
        differing=differing,
        row_floor=floor,
        items=names,
        broken=tuple(names[index] for index in broken),
    )


def sweep_linear(
    tower: LoadedTower,
    shape: tuple[int, int],
    row_counts: Sequence[int],
    linear: Linear,
) -> list[int]:
    """The row counts at which a linear of this shape gives other bits than for the same rows among the most rows.

    Many windows of the full input are tried, its ends among them, since kernels treat the last rows of an input in their own
    way, and since another order of a sum shows in one rounded number of thousands. And so are rows beside NaN, which kernels
    spread that read on where a row ends, and multiply by zero what they find.
    """
    outputs, inputs = shape
    most = row_counts[-1]
    x, weight, bias = (
        # A sine fills the significand: sums of short numbers are exact in float64, and then every order looks the same.
        values(size, name).double().sin().to(tower.device, tower.spec.dtype)
        for name, size in (("x", (most, inputs)), ("weight", (outputs, inputs)), ("bias", (outputs,)))
    )
    full = linear(x, weight, bias)

    def agrees(count: int) -> bool:
        starts = [*range(0, most - count, count)[:WINDOWS], most - count]
        windows = all(same_bits(linear(x[at : at + count], weight, bias), full[at : at + count]) for at in starts)
        return windows and same_bits(linear(beside_nan(x[:count]), weight, bias)[::2], full[:count:2])

    return [count for count in row_counts if not agrees(count)]


def beside_nan(x: Tensor) -> Tensor:
    """Every other row, from the second on, is NaN."""
    found = x.clone()
    found[1::2] = math.nan
    return found


def smallest_floor(row_counts: Sequence[int], differing: set[int]) -> int | None:
    """The smallest count above all that differ. None beyond half of the most rows, where too few were seen to agree."""
    agreeing = [count for count in row_counts if count > max(differing, default=0)]
    return agreeing[0] if agreeing and 2 * agreeing[0] <= row_counts[-1] else None


def changed_in_company(tower: Tower, items: Sequence[Packed]) -> list[int]:
    """Which items have other bits in company than alone: among the first 2, 3, ... of them, in either order."""
    alone = [tower(item) for item in items]
    changed = set()
    order = list(range(len(items)))
    for company in [o[:n] for o in (order, order[::-1]) for n in range(2, len(items) + 1)]:
        together = tower(join([items[index] for index in company]))
        at = 0
        for index in company:
            end = at + len(alone[index].rows)
            if not all(same_bits(a, b[at:end]) for a, b in zip(_all(alone[index]), _all(together), strict=True)):
                changed.add(index)
            at = end
    return sorted(changed)


def sample_items(tower: LoadedTower) -> list[Packed]:
    """Calls of one item each: ``GRIDS`` or ``TILES`` in every layout of the tower. Several frames only for video."""
    calls = []
    for modality, layout in tower.spec.layouts.items():
        if layout.has_grid:
            for t, h, w in GRIDS:
                if t == 1 or modality is Modality.VIDEO:
                    grid = (t, h * layout.merge, w * layout.merge)
                    calls.append(_call(tower, modality, grid, (math.prod(grid),), segments(layout, grid)))
        else:
            calls += [_call(tower, modality, None, tiles, list(tiles)) for tiles in TILES]
    return calls


def segments(layout: Layout, grid: tuple[int, int, int]) -> list[int]:
    """Patches in each attention segment of an item."""
    frames, height, width = grid
    return [frames * height * width] if layout.pools_frames else [height * width] * frames


def join(calls: Sequence[Packed]) -> Packed:
    """One call of all items, in their order."""
    starts = accumulate((int(call.cu_seqlens[-1]) for call in calls), initial=0)
    ends = [call.cu_seqlens[1:] + start for call, start in zip(calls, starts, strict=False)]
    return Packed(
        patches=torch.cat([call.patches for call in calls]),
        cu_seqlens=torch.cat([torch.zeros(1, dtype=torch.int64), *ends]),
        items=tuple(item for call in calls for item in call.items),
    )


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal as bits: unlike ``torch.equal`` it tells 0.0 from -0.0, and finds a NaN equal to itself."""
    return a.dtype == b.dtype and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


def processor_name() -> str:
    """The CPU's model, where the system tells it, since libraries choose kernels by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _call(
    tower: LoadedTower,
    modality: Modality,
    grid: tuple[int, int, int] | None,
    parts: tuple[int, ...],
    segments: list[int],
) -> Packed:
    spec: TowerSpec = tower.spec
    dtype = spec.dtype if spec.dtype in spec.payload_dtypes else min(spec.payload_dtypes, key=str)
    patches = values((sum(parts), *spec.layouts[modality].patch_shape), f"{modality.value} {grid or parts}")
    return Packed(
        patches=patches.to(tower.device, dtype),
        cu_seqlens=torch.tensor([0, *accumulate(segments)]),
        items=(PackedItem(modality, grid, parts, {}),),
    )


def _all(encoded: Encoded) -> tuple[Tensor, ...]:
    return (encoded.rows, *encoded.side)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
