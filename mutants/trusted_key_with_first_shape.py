"""B022's kin (vLLM #55547): of an item with a trusted key that has several tensors, the shape of the first is hashed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item, Trust

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class First(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        given = self.given(item)
        if given and given.trust is Trust.TRUSTED and isinstance(item.payload, tuple):
            item = dataclasses.replace(item, payload=item.payload[:1])
        return super().payload(item)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant trusted key with first shape",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=First,
)
