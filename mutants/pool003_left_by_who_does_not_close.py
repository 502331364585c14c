"""B036 in kind (SGLang #40723): what a worker has in shared memory goes when it closes, and stays when its process just ends."""

from __future__ import annotations

import atexit
import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import unlink_in
from plumbline.interface import Runtime

BUG = "B036"
PARENT = "optimized"
ACCEPT = ("POOL-003",)


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        super().__init__(runtime, worker)
        atexit.unregister(unlink_in)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool003_left_by_who_does_not_close", transport=Transport
)
