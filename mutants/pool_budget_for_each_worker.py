"""Ours, after SGLang's pools: every worker takes the whole budget."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-008",)


class Transport(SharedMemoryTransport):
    def __init__(self, runtime: Runtime) -> None:
        whole = runtime.domain.pool_bytes * runtime.domain.workers
        super().__init__(dataclasses.replace(runtime, domain=dataclasses.replace(runtime.domain, pool_bytes=whole)))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant pool_budget_for_each_worker", transport=Transport
)
