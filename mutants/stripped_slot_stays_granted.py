"""vllm #52041 and its fix #54994 (both merged 2026-08/09): payloads that no worker will read are stripped from the message.
With the shared memory cache, what is stripped is the address, and with it the acknowledgement that the writer's reference
waits for (beside the crash, the review asks that "the fix neither strands a writer reference").

Carried over: a request that was written into a reserved slot, and all of whose payloads the readers hold, has a path of its
own: its message speaks of no lease, but the slot is granted to the readers as for any other request. They never hear of it,
so nobody acknowledges, and they are alive, so nobody is silent.

Shows when a request that lies in a slot is published with all of its payloads in ``held``, to at least one reader that goes
on beating: the bytes stay leased until the ticket is cancelled or the publisher closed; the pool drains.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport, messages
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-007")


class StrippingPublisher(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        self._check(readers)
        pool = self._pool
        parts, _, lease = self._payloads(prepared, held)
        if parts or pool is None or lease is None:
            return super().publish(prepared, readers, held)
        message = messages.encode(prepared, None, {}, held, self._buffer)
        pool.grant(lease, readers)
        self._ready(pool, lease)
        return PoolTicket(message, pool, lease)


class StrippingTransport(SharedMemoryTransport):
    publisher_type = StrippingPublisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant stripped_slot_stays_granted", transport=StrippingTransport
)
