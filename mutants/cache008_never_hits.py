"""B002's kin (SGLang #5083): the key follows the address of the digest, so that no two requests of the same image
share an entry."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache
from plumbline.interface import Identity

BUG = "B002"
PARENT = "optimized"
ACCEPT = ("CACHE-008",)


class ByAddress(LruCache):
    def key(self, identity: Identity, epoch: int) -> Key:
        return identity.digest + id(identity.digest).to_bytes(8, "little"), epoch


implementation = dataclasses.replace(optimized.implementation, name="mutant cache008_never_hits", cache=ByAddress)
