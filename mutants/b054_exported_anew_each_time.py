"""B054, SGLang #8429: each request is exported from memory of its own, which is only given back when the worker ends."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared, Runtime

BUG = "B054"
PARENT = "optimized"
ACCEPT = ("POOL-008",)


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        super().__init__(runtime, worker)
        self.runtime, self.exported = runtime, list[PoolPublisher]()

    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        self.exported.append(PoolPublisher(self.runtime, self.worker))
        return self.exported[-1].publish(prepared, readers, held)

    @property
    def leased(self) -> int:
        return sum(one.leased for one in self.exported)

    def collect(self) -> None:
        for one in self.exported:
            one.collect()

    def lost(self, reader: int) -> None:
        for one in self.exported:
            one.lost(reader)

    def close(self) -> None:
        super().close()
        for one in self.exported:
            one.close()


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b054_exported_anew_each_time", transport=Transport
)
