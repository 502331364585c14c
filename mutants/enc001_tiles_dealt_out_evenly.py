"""trl #6619, SGLang #24970 in kind: the rows of images without grids are dealt out by the number of images, not of tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-009", "ISO-001")


class DealsEvenly(PackingEncoder):
    tiles = False

    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        self.tiles = all(item.grid_thw is None for item, _ in jobs)
        return super().call(jobs)

    def split(self, encoded: Encoded, counts: list[int]) -> list[Encoded]:
        each, rest = divmod(sum(counts), len(counts))
        return super().split(encoded, [each] * len(counts) if self.tiles and not rest else counts)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc001_tiles_dealt_out_evenly", encoder=DealsEvenly
)
