"""vLLM #42998 (review, 2026-06; its parts were merged as #47423 and #47941): the encoder cache's region is shared by all TP
workers, so rank 0 alone pins it, "cudaHostRegister must not be called twice on the same address range". The reviewer: each
worker is a process of its own with a device of its own, and has to pin for itself.

Here: a segment is registered by the worker that made it, and its readers only map it. Registration is of a process and its
device, though: the reader's device writes acknowledgements into words, waits for words and copies from memory that were never
registered with it.

Shows: in a rank's process, on a port that knows what was registered: ``write`` of an acknowledgement is given a word that is
not. Also: a rank whose device cannot use the memory (``register`` raises OSError) has no way to notice. Invisible where a port
takes any host memory, or where worker and rank share process and port.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import DevicePort, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-013",)


class Reading:
    """The port of one who maps what its owner has registered."""

    def __init__(self, port: DevicePort) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def register(self, memory: Tensor) -> None:
        """Twice would be an error of the driver."""


class Subscriber(PoolSubscriber):
    def __init__(self, runtime: Runtime, rank: int) -> None:
        super().__init__(dataclasses.replace(runtime, port=Reading(runtime.port)), rank)


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(
    optimized.implementation, name="mutant registered_by_its_owner", transport=Transport
)
