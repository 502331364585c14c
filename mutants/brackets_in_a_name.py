"""n8n-io/n8n #31706, amietn/vcsi #61, CNES/MAJA #16 (fixes): a path with square brackets goes into glob unescaped, and what is
there is not found.

Carried over: before each beat a rank looks by a glob whether its domain has segments, the pattern made of the domain's name.
Shows: a name with brackets (``qwen3-vl[fp8]``, which the transport accepts). A beat then finds nothing and signs none: a rank
that beats on time is taken for dead after ``lease_seconds``, and what it still reads is fenced. Reading, acknowledging and a
payload that is released in time are right, and so are names without brackets.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import FOLDER

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006", "POOL-002")


class Subscriber(PoolSubscriber):
    def beat(self) -> None:
        """/dev/shm belongs to everybody, so only what begins with our name is looked at; often there is nothing yet."""
        if any(FOLDER.glob(f"{self.domain.name}-*")):
            super().beat()


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant brackets_in_a_name", transport=Transport)
