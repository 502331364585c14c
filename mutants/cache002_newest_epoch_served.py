"""Ours: an entry is fresh if its epoch is not older than the one asked for. After a return to earlier weights it is
newer."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-002", "EPOCH-001")


class NewestEpoch(LruCache):
    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        newest = max((e for digest, e in self._entries if digest == identity.digest), default=epoch)
        return super().get(identity, max(newest, epoch))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant cache002_newest_epoch_served", cache=NewestEpoch
)
