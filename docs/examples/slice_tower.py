"""A tiny tower of a family without grids: an image is a tuple of slices, and each slice gives four rows.

A slice is one tile, padded to ``LONGEST`` patches, since slices differ in size and a layout has one patch shape. How many
patches are real is said by the extra ``sizes``, int64 [slices]. Without it all are.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import Encoded, Layout, Modality, Packed, TowerSpec

LONGEST, PIXELS = 12, 8
"""Patches of the largest slice, and numbers in a patch."""
QUERIES, HIDDEN, INNER = 4, 16, 32
PLACEHOLDER = 60

# region spec
SPEC = TowerSpec(
    name="slices",
    hidden_size=HIDDEN,
    side_levels=0,
    vocab_size=64,
    dtype=torch.float32,
    payload_dtypes=frozenset({torch.float32}),
    layouts={
        Modality.IMAGE: Layout(
            placeholder_id=PLACEHOLDER, patch_shape=(LONGEST, PIXELS), has_grid=False, rows_per_tile=QUERIES
        )
    },
)
# endregion


class SliceTower:
    """``plumbline.interface.Tower``, and what ``plumbline.certify`` asks for beside it."""

    spec, epoch = SPEC, 0
    device = torch.device("cpu")
    linear_shapes = ((INNER, PIXELS), (HIDDEN, INNER))

    def __init__(self, row_floor: int = 1) -> None:
        self.row_floor = row_floor
        draw = torch.Generator().manual_seed(0)
        self.queries = torch.randn(QUERIES, INNER, generator=draw)
        self.weights = {shape: torch.randn(shape, generator=draw) / shape[1] ** 0.5 for shape in self.linear_shapes}
        self.biases = {shape: torch.randn(shape[0], generator=draw) for shape in self.linear_shapes}

    # region call
    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        """rows: [tiles * QUERIES, HIDDEN]. Attention goes over the real patches of a segment: of one slice."""
        sizes = self.sizes(packed)
        patches = self.linear(packed.patches.flatten(0, 1), self.linear_shapes[0]).view(-1, LONGEST, INNER)
        found = [torch.empty(0, INNER)]
        for lo, hi in pairwise(packed.cu_seqlens.tolist()):
            tiles = [patches[tile, : sizes[tile]] for tile in range(lo, hi)]
            found += [self.looked_up(tile, torch.cat(tiles)) for tile in tiles]
        return Encoded(self.linear(torch.cat(found), self.linear_shapes[1]))

    def sizes(self, packed: Packed) -> list[int]:
        """Real patches of each tile of the call."""
        sizes: list[int] = []
        for item in packed.items:
            given = item.extras.get("sizes")
            sizes += given.tolist() if isinstance(given, Tensor) else [LONGEST] * sum(item.parts)
        return sizes

    # endregion

    def looked_up(self, tile: Tensor, seen: Tensor) -> Tensor:
        """[QUERIES, INNER]: what the queries, moved by the tile's mean, find among all patches of the segment."""
        scores = (self.queries + tile.mean(0)) @ seen.T / math.sqrt(INNER)
        return scores.softmax(-1) @ seen

    # region linear
    def linear(self, x: Tensor, shape: tuple[int, int]) -> Tensor:
        """Among at least ``row_floor`` rows, so that the kernel does not depend on how many there are."""
        padded = F.pad(x, (0, 0, 0, max(0, self.row_floor - len(x))))
        return F.linear(padded, self.weights[shape], self.biases[shape])[: len(x)]

    # endregion
