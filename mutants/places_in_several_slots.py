"""rapidsai/ucxx #62 (merged): a request of several buffers lives as long as its first owner, not as long as all of its
parts are in use; kin SGLang #11917 (merged), where each item of a request has a chunk of the pool of its own.

Here: "published where it lies, once" is widened from payloads that lie in one reserved slot to payloads that each lie in
*a* reserved slot, as with one reservation for each image. All places are right, so readers find everything; but the message
names one lease, that of the first slot. The others stay reserved: whoever tidies up with ``cancel`` (which does nothing to
a published slot) gives away bytes that the readers still read, with no fence; whoever does not leaks them.

Shows: a request of two payloads from two reservations. Then ``cancel`` of the second slot and another payload in its place:
other bytes, ``check`` says nothing. Or: all readers release, collect, and ``leased`` is not 0.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport, messages
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "POOL-003")


def slot_of(pool: Pool, part: Tensor) -> Lease | None:
    """The reserved slot that the whole part lies in, as it is read."""
    start = pool.segment.offset(part)
    slot = pool.reserved(start) if start >= 0 else None
    plain = part.is_contiguous() and not part.is_conj() and not part.is_neg()
    return slot if slot is not None and plain and slot.holds(start, start + part.nbytes) else None


class Mutant(PoolPublisher):
    def _payloads(
        self, prepared: Prepared, held: frozenset[Identity]
    ) -> tuple[list[Tensor], dict[int, int], Lease | None]:
        parts, places, lease = super()._payloads(prepared, held)
        if lease is None and self._pool is not None and places:
            tensors = [part for item in prepared.items for part in messages.payload_tensors(item) if part.numel()]
            slots = [slot_of(self._pool, part) for part in tensors]
            if all(slot is not None for slot in slots):  # nothing has to be copied
                lease = slots[0]
        return parts, places, lease


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant places_in_several_slots", transport=Transport
)
