"""vLLM #54283 (merged): in the multimodal hasher an empty list or mapping yields nothing at all, which is byte for byte what
leaving it out yields, so that different inputs have one hash, and one's features and KV blocks are served for the other.

Carried over: tensors of a payload without entries are not hashed, because they hold no content. But the division into tensors
is part of the content: the tower is told of each tensor, and (2, 0, 3) is another image than (2, 3).

Shows when two payloads differ only in empty tensors beside others: one identity, so one's rows and prefix keys for both. Their
digests are not of format 1 either. A payload of nothing but empty tensors is hashed as it should.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-002", "IDENT-003", "IDENT-004")


class ContentIdentifier(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        if isinstance(item.payload, tuple):
            filled = tuple(part for part in item.payload if not isinstance(part, Tensor) or part.numel())
            if filled and len(filled) < len(item.payload):
                item = dataclasses.replace(item, payload=filled)
        yield from super().payload(item)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant empty_parts_yield_nothing", identify=ContentIdentifier
)
