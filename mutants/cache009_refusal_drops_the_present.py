"""When rows that do not fit are put under a key that is present, the key's old rows go first, for nothing."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-009",)


class Drops(LruCache):
    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        key = self.key(identity, epoch)
        if key in self._entries:
            self._remove(key)
        return super().put(identity, epoch, encoded)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache009 refusal drops the present",
    cache=Drops,
)
