"""unified-cache-management #563: a start clears away what has a name like its own, which other engines are using."""

from __future__ import annotations

import dataclasses
import glob

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import FOLDER
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-012",)


class Mutant(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        for path in FOLDER.glob(f"{glob.escape(runtime.domain.name)}-*-{worker}-*"):
            path.unlink(missing_ok=True)
        super().__init__(runtime, worker)


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_starts_over_others", transport=Transport
)
