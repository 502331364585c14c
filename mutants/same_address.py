"""transformers #27314, safetensors #379, compressed-tensors #698: tensors at one address are taken for one tensor.

Carried over: a request that shows the same pixels twice has two tensor objects that view the same memory; they are put into
the pool once, and known by device, address, dtype and shape. Strides are forgotten. Shows: two items of one request whose
payloads begin at one address with one shape, and differ in strides: an image and its transpose, a clip and its first frame
expanded to as many. The second item arrives with the first one's bytes, under its own digest.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import optimized
from optimized.identify import unusable
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Item, Part, Payload, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-006",)


class Publisher(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        first: dict[object, Part] = {}

        def one(part: Part) -> Part:
            if unusable(part) or not part.numel():  # type: ignore[union-attr]
                return part
            return first.setdefault((part.device, part.data_ptr(), part.dtype, part.shape), part)  # type: ignore[union-attr]

        def once(item: Item) -> Item:
            payload: Payload = item.payload
            if payload is None:
                return item
            return replace(item, payload=tuple(map(one, payload)) if isinstance(payload, tuple) else one(payload))

        return super().publish(replace(prepared, items=tuple(map(once, prepared.items))), readers, held)


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant same_address", transport=Transport)
