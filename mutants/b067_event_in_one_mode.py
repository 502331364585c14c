"""B067 (vLLM #47644): the event is recorded only where several payloads are packed; a single one needs it as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from optimized.staging import StagingRing
from plumbline.interface import Runtime, Tower

BUG = "B067"
PARENT = "optimized"
ACCEPT = ("MOVE-004",)


class EventForPacked(StagingRing):
    def upload(self, parts: Sequence[Tensor]) -> Tensor:
        if len(parts) > 1:
            return super().upload(parts)
        [part] = parts
        nbytes = part.numel() * part.element_size()
        buffer = self.buffer(nbytes) if nbytes else None
        if buffer is None:
            return super().upload(parts)
        return self.port.move(buffer.bytes[:nbytes].view(part.dtype).view(part.shape).copy_(part))


class SometimesNoEvent(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.staging = EventForPacked(self.port) if self.staging else None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b067_event_in_one_mode", encoder=SometimesNoEvent
)
