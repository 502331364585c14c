"""B066 (vLLM #28706): one staging buffer, and no event that says when it may be written again."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import Buffer, StagingRing
from plumbline.interface import Runtime, Tower

BUG = "B066"
PARENT = "optimized"
ACCEPT = ("MOVE-004",)


class OneBuffer(StagingRing):
    def buffer(self, nbytes: int) -> Buffer:
        if not self.buffers:
            self.buffers.append(Buffer(self.port, 1 << 20))
        return self.buffers[0]


class NoEvent(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = OneBuffer(self.port) if self.staging else None


implementation = dataclasses.replace(optimized.implementation, name="mutant b066_one_staging_buffer", encoder=NoEvent)
