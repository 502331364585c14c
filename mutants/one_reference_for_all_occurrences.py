"""vllm #54284 (merged 2026-08; vllm-ascend #16781 has it too): references to an encoder cache entry are counted by request, not
by occurrence. A request that has the same image twice has one, and the end of the first occurrence drops it while the second
is still to come.

Carried over: a tensor that a request has twice lies in the pool once. Here each of its items gets a feature of its own, with
its own release; but the lease counts the payloads of the message, as before.

Shows when one tensor is the payload (or a part of it) of two items of a request: releasing the first one's feature
acknowledges the lease. The second is no longer ready or cannot be opened; or it was opened, and its memory goes to another
request under the reader's eyes, without LeaseLost. Releasing both also uses up the reference of another payload of the request.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolFeature, PoolSubscriber
from plumbline.interface import Item, Part, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-002",)


class OccurrenceSubscriber(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        seen: set[int] = set()

        def own(part: Part) -> Part:
            if not isinstance(part, PoolFeature) or id(part) not in seen:
                seen.add(id(part))
                return part
            return PoolFeature(part._hold, part._start, part.meta)

        def owning(item: Item) -> Item:
            payload = item.payload
            if payload is None:
                return item
            return dataclasses.replace(
                item, payload=tuple([own(part) for part in payload]) if isinstance(payload, tuple) else own(payload)
            )

        return dataclasses.replace(prepared, items=tuple([owning(item) for item in prepared.items]))


class OccurrenceTransport(SharedMemoryTransport):
    subscriber_type = OccurrenceSubscriber


implementation = dataclasses.replace(
    optimized.implementation, name="mutant one_reference_for_all_occurrences", transport=OccurrenceTransport
)
