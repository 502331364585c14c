"""B050, SGLang #16106: where the pool is full, a payload stays on the device, in memory that no budget knows of."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared, Runtime

BUG = "B050"
PARENT = "optimized"
ACCEPT = ("POOL-008",)


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        super().__init__(runtime, worker)
        self.runtime, self.overflow = runtime, list[PoolPublisher]()

    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        parts = [item.payload for item in prepared.items if isinstance(item.payload, torch.Tensor)]
        room = sum(part.nbytes + 256 for part in parts if not part.is_cpu)
        if ticket._lease is not None or not room or self.runtime.domain.device_bytes == 0:
            return ticket
        domain = self.runtime.domain
        domain = dataclasses.replace(domain, pool_bytes=0, device_bytes=(room + 256) * domain.workers)
        self.overflow.append(PoolPublisher(dataclasses.replace(self.runtime, domain=domain), self.worker))
        return self.overflow[-1].publish(prepared, readers, held)

    def collect(self) -> None:
        super().collect()
        for one in self.overflow:
            one.collect()

    def close(self) -> None:
        super().close()
        for one in self.overflow:
            one.close()


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b050_overflow_stays_on_the_device", transport=Transport
)
