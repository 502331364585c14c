"""B056, SGLang #22858: one metadata tensor is not on the CPU. Here it is on no device at all."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Prepared

BUG = "B056"
PARENT = "optimized"
ACCEPT = ("MSG-005", "MSG-006")


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        items = tuple(
            dataclasses.replace(item, grid_thw=None if item.grid_thw is None else item.grid_thw.to("meta"))
            for item in prepared.items
        )
        return dataclasses.replace(prepared, items=items)


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant b056_grid_elsewhere", transport=Transport)
