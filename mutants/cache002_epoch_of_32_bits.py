"""B014's kin (LMCache #2932): an epoch is kept in 32 bits, and one that is made of a time or a hash has more."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import Key, LruCache
from plumbline.interface import Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-002",)


class Narrow(LruCache):
    def key(self, identity: Identity, epoch: int) -> Key:
        return identity.digest, epoch & 0xFFFFFFFF


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache002 epoch of 32 bits",
    cache=Narrow,
)
