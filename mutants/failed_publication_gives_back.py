"""TensorRT-LLM #14633 (open, 2026-05): buffers that were assigned beforehand are released when it turns out that the transfer
cannot proceed, so that cancelled or failed transfers leak none into later requests.

Here: the same for slots. "A raise leaves no lease behind" is read as: whatever made ``publish`` raise, its slot is given back at
once. But the slot is the caller's until it was published or cancelled, who corrects the request (an extra, a text that is no
Unicode) and publishes it again from where it lies, or makes the next image in those tensors.

Shows: ``publish`` of a request that lies in a slot raises for something other than its payloads: ``leased`` drops although
nobody cancelled, the second attempt is refused (BadPayload), and the next request of this worker is put where the slot's
tensors still are: who writes into them writes another request's pixels, with no LeaseLost.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-004",)


class TidyPool(Pool):
    def withdraw(self, lease: Lease) -> None:
        """Of a publication that failed: nothing stays behind."""
        self.end(lease)


class Publisher(PoolPublisher):
    pool_type = TidyPool


class Transport(SharedMemoryTransport):
    publisher_type = Publisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant failed_publication_gives_back", transport=Transport
)
