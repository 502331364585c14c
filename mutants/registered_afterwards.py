"""TensorRT-LLM #11979 (merged, 2026-03): a step of setting up shared memory fails after the memory was made, and the error path
keeps what was made; kin smg #1604 and #1893 (reviews, 2026-06 and -07): files in /dev/shm stay when a later step fails.

Here: registering pins every page and takes long, so it is done last, once the file has its name and ranks can map it. If the
device refuses (``DevicePort.register`` raises OSError), the publisher goes on without a pool, in messages, as it should. The
file, with all of its pages, keeps its name: nobody has it any more whose ``close`` would remove it.

Shows: ``register`` raises OSError in a worker. A file of this worker's share then lies in /dev/shm, also after
``Publisher.close``, until the process ends, or for good if it is killed; ranks map and beat into it. Else all is right.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003", "POOL-010")


class Later:
    """A port that registers nothing yet."""

    def __init__(self, port: DevicePort) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def register(self, memory: Tensor) -> None: ...


class RegisteredPool(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, Later(port))
        port.register(self.segment.bytes)


class Publisher(PoolPublisher):
    pool_type = RegisteredPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant registered_afterwards", transport=Transport)
