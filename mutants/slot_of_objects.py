"""ray #64487 (review), devito #3018 (fix): memory goes back to its pool when the tensor object that was handed out is collected,
while views of it live on.

Carried over: a reserved place is given back by itself when all of its tensors are gone, for processors that fail without
``cancel``; the parent keeps such a place for ever. What is watched are the tensor objects. Shows: a request whose payloads
are views of the slot's tensors (the images of a bundle after ``prepare``, a reshaped one), and nobody keeps slot, tensors
and the unprepared request until it is published. The next reserve or publish gets the same bytes and overwrites the pixels
that were hashed already; ``leased`` drops; publishing the request raises BadPayload, or lies in the other's slot.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Sequence

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolSlot
from plumbline.interface import TensorMeta

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-014", "POOL-001")


class Publisher(PoolPublisher):
    def reserve(self, metas: Sequence[TensorMeta], readers: frozenset[int]) -> PoolSlot | None:
        slot = super().reserve(metas, readers)
        if slot is None or slot._lease is None:
            return slot
        lease, left = slot._lease, len(slot.tensors)

        def gone() -> None:
            nonlocal left
            left -= 1
            if not left and not lease.granted:
                self._give_back(lease)

        for tensor in slot.tensors:
            weakref.finalize(tensor, gone).atexit = False
        return slot


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant slot_of_objects", transport=Transport)
