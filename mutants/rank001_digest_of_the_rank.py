"""Ours: each rank has a name space of its own in a cache that all share, and writes its number into digests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.identify import Identifier
from plumbline.interface import Identity, Item, PlumblineError, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-001",)


class Salted(Identifier):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.rank = runtime.ranks.rank if runtime.ranks is not None else 0

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        found = super().__call__(items)
        return [self.salted(one) if isinstance(one, Identity) else one for one in found]

    def salted(self, identity: Identity) -> Identity:
        return Identity(identity.digest[:-1] + bytes([identity.digest[-1] ^ self.rank]))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rank001_digest_of_the_rank", identify=Salted
)
