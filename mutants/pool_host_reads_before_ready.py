"""Ours: opened for the host, a payload of a device is read at once, whether its copy has run or not."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolFeature, PoolSubscriber
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-001", "MOVE-005")


class Part(PoolFeature):
    def open(self, device: torch.device) -> Tensor:
        if device.type == "cpu" and not self._released:
            view = self._hold.place().tensor(self._start, self.meta.shape, self.meta.dtype)
            return self._opened.setdefault(True, view.cpu())
        return super().open(device)


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        for item in prepared.items:
            for part in item.payload if isinstance(item.payload, tuple) else (item.payload,):
                if isinstance(part, PoolFeature):
                    part.__class__ = Part
        return prepared


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_host_reads_before_ready", transport=Transport
)
