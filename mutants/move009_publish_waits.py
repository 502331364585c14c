"""Ours: safe and slow, the worker waits for its copies before it sends the message."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-009",)


class Mutant(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        if self.port.device.type != "cpu":
            torch.get_device_module(self.port.device).synchronize(self.port.device)
        return ticket


class Transport(SharedMemoryTransport):
    publisher_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant move009_publish_waits", transport=Transport)
