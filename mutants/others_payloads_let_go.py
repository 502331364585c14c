"""sglang #25951 (open): with data-parallel encoding a rank needs the pixels of its own images only, so who owns what is
decided before they are copied, and a rank makes its own share only; its review asks for subsets where a part was found in
the cache, since the deal then is another one.

Carried over: once an item was encoded by another rank, this one lets go of its payload, so that the worker's memory
comes back earlier. Who encodes an item follows from all that is missing in a step, so the next time it may be
somebody else.

Shows with two ranks or more and lazy payloads, when an item is encoded again in other company than the first time:
retracted with its rows not cached (small cache, precomputed rows), new weights, a chunk that begins before its rows.
A rank that is dealt it now has released it: PayloadMissing for a good request whose lease nobody fenced, although
Retention.LEASE is claimed. An item that is dealt to the same rank again (alone in both steps: the first one) is
right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.encode import parts_of
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-011",)


class OwnPayloads(SharedEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = super().encode(items)
        for item, owner, result in zip(items, self.owners(items), results, strict=True):
            if owner != self.ranks.rank and isinstance(result, Encoded) and item.payload is not None:
                for part in parts_of(item):
                    if not isinstance(part, Tensor):
                        part.release()
        return results


class OwnPayloadsEmbedder(Embedder):
    sharing = OwnPayloads


implementation = dataclasses.replace(
    optimized.implementation, name="mutant others_payloads_let_go", embed=OwnPayloadsEmbedder
)
