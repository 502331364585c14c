"""checkpoint-engine #97 (closed, 2026-07): ``rank or os.environ["RANK"]`` takes a rank of 0 for none given; also
tenstorrent/ttnn-visualizer #1845 (merged, 2026-08): an absent rank means every rank in one place, and none in another.

Here: ``readers or self.ranks``, since callers with one group of ranks left the readers out. An empty set is false too, and
says something else: nobody will read this (all ranks of the group hold the rows or were lost meanwhile, a warm-up, a dry
run). Its lease waits for all ranks, none of which got the message.

Shows: ``publish`` to an empty set of readers with a payload that goes into the pool: after ``collect``, and room sought,
``leased`` stays as long as the ranks beat, and the pool drains. With readers all is right.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-003",)


class Publisher(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        return super().publish(prepared, readers or self.ranks, held)


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant nobody_means_everybody", transport=Transport
)
