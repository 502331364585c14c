"""B039 (vLLM #28706): a non-blocking copy from a buffer that nobody keeps until the copy has finished."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import Buffer, StagingRing
from plumbline.interface import Runtime, Tower

BUG = "B039"
PARENT = "optimized"
ACCEPT = ("MOVE-004",)


class Transient(StagingRing):
    def buffer(self, nbytes: int) -> Buffer:
        return Buffer(self.port, nbytes)


class FromTransientBuffers(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = Transient(self.port) if self.staging else None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b039_transient_buffer", encoder=FromTransientBuffers
)
