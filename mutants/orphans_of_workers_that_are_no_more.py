"""optimized's own, until a reader saw it; sglang #40723 (18 GiB of orphans) in a corner of its own: each worker looks after what
earlier ones of its number left behind.

Carried over: a worker that starts removes the orphans of its own number.

Shows: an engine of several workers is killed and starts again with fewer. The segments of the others stay in shared memory.
"""

from __future__ import annotations

import dataclasses
from unittest.mock import patch

import optimized
from optimized.transport import SharedMemoryTransport, publisher
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import sweep
from plumbline.interface import Domain, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-018", "POOL-008")


def own(domain: Domain, worker: int) -> None:
    sweep(dataclasses.replace(domain, workers=10**9), worker)


class OwnOrphans(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        with patch.object(publisher, "sweep", own):
            super().__init__(runtime, worker)


class OwnOrphansTransport(SharedMemoryTransport):
    publisher_type = OwnOrphans


implementation = dataclasses.replace(
    optimized.implementation, name="mutant orphans_of_workers_that_are_no_more", transport=OwnOrphansTransport
)
