"""B021 (lmdeploy #4933): embeddings that the user computed are not part of the prefix identity, so KV of other
embeddings is reused under equal ids and spans."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item, Source

BUG = "B021"
PARENT = "optimized"
ACCEPT = ("IDENT-003", "PREFIX-002")


class RowsUnread(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        if item.source is not Source.PRECOMPUTED:
            yield from super().payload(item)
            return
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        for part in parts:
            assert isinstance(part, Tensor)
            yield from self.tensor(part, read=False)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b021 precomputed rows left out",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=RowsUnread,
)
