"""richlander/nightshift #189 (a lease lives up to a second less than its TTL), moby/moby #31755 (heartbeats in whole seconds).

Carried over: signs of life are written in whole seconds, so that the cache line that worker and rank share is dirtied once a
second and not with every beat. Shows: ``lease_seconds`` of about a second or less (or less than a second more than the
beats' interval): a rank whose last beat is a tenth of a second old looks a second silent, and its lease is fenced.
Silent with 30 s, and with a clock of whole numbers.
"""

from __future__ import annotations

import dataclasses
import math

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006",)


class Subscriber(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        clock = runtime.domain.clock
        seconds = dataclasses.replace(runtime.domain, clock=lambda: float(math.floor(clock())))
        super().__init__(dataclasses.replace(runtime, domain=seconds), rank)


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant whole_seconds", transport=Transport)
