"""Ours: the encoder keeps the items of its last batch for error messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-010",)


class KeepsLast(PackingEncoder):
    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        self.last = jobs
        return super().call(jobs)


implementation = dataclasses.replace(optimized.implementation, name="mutant life010_last_batch_kept", encoder=KeepsLast)
