"""Ours: a full pool warns for every request."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import MESSAGES, PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-013",)


class Mutant(PoolPublisher):
    def _warn(self, what: str, instead: str = MESSAGES) -> None:
        self._warned.clear()
        super()._warn(what, instead)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant pool_warns_each_time", transport=Transport)
