"""Seed S1: which device this is, is asked for each message, proxies or not."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-007",)


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        torch.get_device_module(self.port.device).current_device()
        return super().receive(message)


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move007_asks_for_its_device", transport=Transport
)
