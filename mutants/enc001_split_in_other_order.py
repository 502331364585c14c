"""Ours: the patches of a batch are packed largest item first, and the rows are split in the order of the list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-009")


class SortedPack(PackingEncoder):
    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        encoded = super().call(sorted(jobs, key=lambda job: -self.patches(job[0])))
        rows = torch.cat([one.rows for one in encoded])
        side = [torch.cat([one.side[level] for one in encoded]) for level in range(self.spec.side_levels)]
        return self.split(Encoded(rows, tuple(side)), [self.rows(self.describe(*job)) for job in jobs])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc001_split_in_other_order", encoder=SortedPack
)
