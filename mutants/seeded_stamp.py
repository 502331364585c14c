"""triton #3544, rungalileo/dataquality #594 (fixes): "unique" names come of ``random``, which users seed, so that each start
of a seeded process draws the same ones.

Carried over: the stamp that tells a worker's segments apart is drawn from ``random``. Shows: a worker that seeds ``random``
before it makes its publisher, as engines do for reproducibility, dies or closes and is started again, while a rank lives on
and does not beat in the moment when no such file exists (after a crash the successor itself removes the old file). For the
rank it is the segment that it has mapped already: it reads the dead worker's memory. Where slot and generation agree, which
also count from the beginning again, an old request's pixels come under the new digest; otherwise all payloads of the new
worker are refused, and it hears no sign of life. Unseeded workers, and several publishers of one process, differ in stamps.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import random

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Pool
from optimized.transport.publisher import PoolPublisher
from optimized.transport.words import FOLDER, file_name, unlink_in
from plumbline.interface import DevicePort, Domain

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006", "POOL-015", "POOL-001", "POOL-018")


class NamedPool(Pool):
    def __init__(self, domain: Domain, worker: int, port: DevicePort) -> None:
        super().__init__(domain, worker, port)
        stamp = random.getrandbits(62)
        path = FOLDER / file_name(domain.name, worker, stamp)
        os.rename(self.segment.path, path)
        self.segment.path, self.segment.stamp = path, stamp
        self.segment.words[1] = stamp
        atexit.register(unlink_in, os.getpid(), path)


class Publisher(PoolPublisher):
    pool_type = NamedPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(optimized.implementation, name="mutant seeded_stamp", transport=Transport)
