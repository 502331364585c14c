"""Ours: side levels come in another order where a call has more than two items."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-010", "ENC-001", "ENC-005", "ENC-013")


class Swapped(PackingEncoder):
    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        results = super().call(jobs)
        return [Encoded(one.rows, one.side[::-1]) for one in results] if len(jobs) > 2 else results


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc010_levels_swapped_in_batches", encoder=Swapped
)
