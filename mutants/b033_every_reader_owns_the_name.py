"""B033, SGLang #21665: each process that opened a segment takes itself for its owner, as Python's resource tracker does, and
the first one that ends removes the name."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber

BUG = "B033"
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-006", "MSG-005")


class Mutant(PoolSubscriber):
    def close(self) -> None:
        for segment in self._segments.values():
            segment.unlink()
        super().close()


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b033_every_reader_owns_the_name", transport=Transport
)
