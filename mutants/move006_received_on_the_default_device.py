"""B055, SGLang #22662: payloads pass through the device that is current, which nobody set on this rank."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber

BUG = "B055"
PARENT = "optimized"
ACCEPT = ("MOVE-006",)


class Astray(Hold):
    def move(self, tensor: Tensor) -> Tensor:
        here = tensor.to(self._subscriber.port.device.type, non_blocking=True)
        return super().move(here)


class Mutant(PoolSubscriber):
    hold_type = Astray


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant move006_received_on_the_default_device", transport=Transport
)
