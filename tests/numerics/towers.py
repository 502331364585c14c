"""Small towers of every family and calls for them: what the tests of this folder have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.certify import ROW_COUNTS, join, same_bits, segments
from plumbline.interface import Checkpoint, Encoded, LoadedTower, Modality, Packed, PackedItem
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, values
from reference.towers import load
from reference.towers.arithmetic import PlainTower

Grid = tuple[int, int, int]


class Clip(tuple[int, int, int]):
    """A grid of a video, of however few frames."""


COUNTS = tuple(count for count in ROW_COUNTS if count <= 1024)
"""Row counts for a certificate. The rest takes seconds, and is for real towers."""

TOWERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in FAMILIES},
    # Not multiples of a vector's length, so that vectorised code has a tail to treat; three deepstack levels, as released.
    "qwen3_vl uneven": (
        "qwen3_vl",
        {"depth": 4, "hidden_size": 80, "intermediate_size": 100, "deepstack_visual_indexes": [0, 2, 3]},
    ),
}
"""Family and sizes of checkpoints."""

CALLS: dict[str, list[Grid]] = {
    "tiny": [(1, 2, 2)],
    "wide": [(1, 4, 10)],
    "large": [(1, 10, 14)],
    "video": [(3, 4, 6)],
    "several": [(1, 4, 6), (1, 2, 2), (2, 6, 4), (1, 8, 8), (1, 2, 2), (5, 2, 4)],
    "long": [(1, 2, 262), (1, 262, 2)],
    "strips": [(1, 20, 20), (1, 2, 134), (1, 134, 2)],
    "clip": [Clip((1, 4, 6)), (1, 4, 6), (2, 4, 6)],
}
"""Smaller and larger than a window and than the tables of positions, with places beyond those that bfloat16 tells apart, and
beyond the sides of a larger image; and a video of one frame."""


def tower_of(folder: Path, dtype: torch.dtype = torch.float32) -> PlainTower:
    return load(Checkpoint(folder, dtype, 151655, 151656, 151936), HostPort())


def items_of(tower: LoadedTower, grids: Iterable[Grid]) -> list[Packed]:
    """A call for each grid. Two of one grid have different patches, so that one cannot stand in for the other."""
    calls = []
    for place, grid in enumerate(grids):
        modality = Modality.VIDEO if grid[0] > 1 or isinstance(grid, Clip) else Modality.IMAGE
        layout, count = tower.spec.layouts[modality], math.prod(grid)
        starts = torch.tensor([0, *segments(layout, grid)]).cumsum(0)
        patches = values((count, *layout.patch_shape), f"{grid} {place}")
        calls.append(Packed(patches, starts, (PackedItem(modality, grid, (count,), {}),)))
    return calls


def call_of(tower: LoadedTower, *grids: Grid) -> Packed:
    return join(items_of(tower, grids))


def outputs(encoded: Encoded) -> list[Tensor]:
    return [encoded.rows, *encoded.side]


def all_same_bits(a: Encoded, b: Encoded) -> bool:
    return all(same_bits(x, y) for x, y in zip(outputs(a), outputs(b), strict=True))


def reached_by_nan(tower: LoadedTower, grids: Sequence[Grid]) -> list[tuple[int, int]]:
    """(place of an item that is all NaN, place of one whose bits it changes) in a call of these items."""
    items = items_of(tower, grids)
    alone = [outputs(tower(item)) for item in items]
    found = set()
    for bad, item in enumerate(items):
        poisoned = replace(item, patches=item.patches * math.nan)
        together = outputs(tower(join([*items[:bad], poisoned, *items[bad + 1 :]])))
        for level, rows in enumerate(together):
            pieces = torch.split(rows, [len(one[level]) for one in alone])
            same = [same_bits(piece, one[level]) for piece, one in zip(pieces, alone, strict=True)]
            found |= {(bad, place) for place, held in enumerate(same) if not held and place != bad}
    return sorted(found)


def rewrite_config(folder: Path, **changes: object) -> None:
    """Changes fields of the vision configuration; None takes one away."""
    whole = json.loads((folder / "config.json").read_text())
    vision = whole.get("vision_config", whole)
    vision.update(changes)
    for name in [name for name, value in vision.items() if value is None]:
        del vision[name]
    (folder / "config.json").write_text(json.dumps(whole))


def replaced_rotation(folder: Path, beside: float | None, theta: float | None) -> Path:
    """With these bases of the rotation: beside its parameters, and among them. None: not said."""
    inside = {"rope_type": "axial"} | ({} if theta is None else {"rope_theta": theta})
    rewrite_config(folder, rope_theta=beside, rope_parameters=inside)
    return folder


def rewrite_weights(folder: Path, **changes: Tensor | None) -> None:
    """Changes weights; None takes one away."""
    raw = load_file(folder / "model.safetensors") | changes
    save_file({name: value for name, value in raw.items() if value is not None}, folder / "model.safetensors")
