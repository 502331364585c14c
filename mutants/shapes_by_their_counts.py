"""mlxcel #1423 and #1582 (merged: a Qwen2.5-VL patch embedding in another layout than the loader's "loaded without
complaint and generated from scrambled filters"), omlx #2754 and #2374 (Qwen3.6/3.8: [1152, 2, 16, 16, 3] beside [1152,
3, 2, 16, 16]), mlx-vlm #1545, #2186: the same weight lies channels-first or channels-last, depending on who converted
it.

Carried over: a convolution whose stride is its size is a linear here, and so its weight is stored flat by some and with
five dimensions by others; the loader takes either, by asking for the number of elements and giving them the shape that
is due. That takes channels-last filters as well, and reads them scrambled.

Shows with a folder, loaded or updated from, whose ``patch_embed.proj.weight`` is channels-last, or any weight in
another shape of as many numbers (a transposed linear that is not square). Breaks NUM-007 ("has one in another shape ...
is refused with BadCheckpoint"), EPOCH-004 where it is an update.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

import optimized
from mutants.shared.towers import with_stored
from optimized.towers.checkpoint import PREFIXES, Stored, files_of

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-007", "EPOCH-004")


class ByCount(Stored):
    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]], roots: tuple[str, ...]) -> None:
        self.due = dict(shapes)
        found = {name: tuple(file.get_slice(name).get_shape()) for name, file in files_of(folder).items()}
        as_stored = {
            name: next((found[p + name] for p in PREFIXES if p + name in found), shape)
            for name, shape in shapes.items()
        }
        super().__init__(
            folder,
            {n: as_stored[n] if math.prod(as_stored[n]) == math.prod(shape) else shape for n, shape in shapes.items()},
            roots,
        )

    def __call__(self, name: str) -> Tensor:
        return super().__call__(name).reshape(self.due[name])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant shapes_by_their_counts", tower=with_stored(ByCount)
)
