"""B043, vLLM #32429: the segment's name is that of every other engine on the host."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from plumbline.interface import Runtime

BUG = "B043"
PARENT = "optimized"
ACCEPT = ("POOL-012",)


class Transport(SharedMemoryTransport):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(
            dataclasses.replace(runtime, domain=dataclasses.replace(runtime.domain, name="plumbline-mutant-b043"))
        )


implementation = dataclasses.replace(optimized.implementation, name="mutant b043_constant_name", transport=Transport)
