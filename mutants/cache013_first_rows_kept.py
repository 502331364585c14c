"""SGLang #8292 in kind: a key that is present is only moved to the end, and keeps the rows that it had."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-013",)


class First(LruCache):
    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        return self.get(identity, epoch) is not None or super().put(identity, epoch, encoded)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache013 first rows kept",
    cache=First,
)
