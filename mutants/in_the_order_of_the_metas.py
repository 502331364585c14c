"""leejet/stable-diffusion.cpp #1939 (merged): embeddings are put into one buffer and found in it by counters that each
side keeps for itself, which agree as long as both go in one order. TensorRT-LLM #15012 (open; review) has items of
several modalities, which processors list by modality and prompts do not.

Carried over: where a request's payloads are all in one reserved slot and as many as its tensors, the first is said to
begin where the slot's first tensor does, and so on; nothing has to be looked up. That holds where the items are in the
order of the metas.

Shows with a processor that reserves for its images and then its videos, or largest first, and a request whose items
come in the order of the prompt: two items of one size are exchanged, silently; of two sizes, one reads into the other.

Breaks POOL-001, MSG-005; Slot: "A request whose payloads are exactly these tensors is published where it lies".
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "MSG-005", "POOL-014")


class BrokenPublisher(PoolPublisher):
    def _payloads(
        self, prepared: Prepared, held: frozenset[Identity]
    ) -> tuple[list[Tensor], dict[int, int], Lease | None]:
        parts, places, lease = super()._payloads(prepared, held)
        if lease is not None and len(parts) == len(lease.starts):
            places = dict(zip(map(id, parts), lease.starts, strict=True))
        return parts, places, lease


class BrokenTransport(SharedMemoryTransport):
    publisher_type = BrokenPublisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant in_the_order_of_the_metas", transport=BrokenTransport
)
