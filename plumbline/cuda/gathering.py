"""A rank whose stream is held up while it gathers, and which says how long the host was in the call."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from plumbline.rank_processes import TowerRank

HELD = 1_000_000_000
"""Cycles for which a stream is held up: half a second or so."""


class GatheringRank(TowerRank):
    """Gathers behind a stream that is held up."""

    def gather(self, counts: Sequence[int]) -> tuple[list[tuple[int, bool]], float, float]:
        """By rank how many rows came, and whether they are its. Then seconds of the host in the call, and until all came."""
        assert self.ranks is not None
        mine = torch.full(
            (counts[self.ranks.rank], 48), float(self.ranks.rank), dtype=torch.bfloat16, device=self.device
        )
        torch.cuda.synchronize()
        torch.cuda._sleep(HELD)  # type: ignore[no-untyped-call]
        began = time.perf_counter()
        torch.cuda.set_sync_debug_mode("error")
        try:
            blocks = self.ranks.gather(mine, counts)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        called = time.perf_counter() - began
        torch.cuda.synchronize()
        took = time.perf_counter() - began
        return [(len(block), bool((block == rank).all())) for rank, block in enumerate(blocks)], called, took
