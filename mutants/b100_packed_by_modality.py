"""B100, SGLang #8893: offsets counted the items of the other modality. Here a batch is packed modality by modality,
and its rows are handed out in the order of the list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded

BUG = "B100"
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-009", "ITEM-004")


class ByModality(PackingEncoder):
    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        return super().call(sorted(jobs, key=lambda job: job[0].modality.value))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b100_packed_by_modality", encoder=ByModality
)
