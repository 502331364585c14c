"""B049, SGLang #13940: recycling needs a word of every rank, of dead ones too."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher

BUG = "B049"
PARENT = "optimized"
ACCEPT = ("POOL-007",)


class Mutant(PoolPublisher):
    def lost(self, reader: int) -> None:
        self._check({reader})


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b049_dead_readers_wait", transport=Transport
)
