"""Transport over POSIX shared memory: payloads lie in a pool of their worker, and messages say where."""

from __future__ import annotations

from optimized.transport.publisher import PoolPublisher
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Runtime


class SharedMemoryTransport:
    """Both sides, for processes of one host and one user.

    Raises ValueError if the domain's name cannot be part of a file's name, or a number is not one of the domain's.
    """

    publisher_type = PoolPublisher
    subscriber_type = PoolSubscriber

    def __init__(self, runtime: Runtime) -> None:
        if not runtime.domain.name or not runtime.domain.name.isprintable() or "/" in runtime.domain.name:
            raise ValueError(f"{runtime.domain.name!r} cannot be part of a file's name")
        self.runtime = runtime

    def publisher(self, worker: int) -> PoolPublisher:
        if worker not in range(self.runtime.domain.workers):
            raise ValueError(f"worker {worker}, where there are {self.runtime.domain.workers}")
        return self.publisher_type(self.runtime, worker)

    def subscriber(self, rank: int) -> PoolSubscriber:
        if rank not in range(self.runtime.domain.ranks):
            raise ValueError(f"rank {rank}, where there are {self.runtime.domain.ranks}")
        return self.subscriber_type(self.runtime, rank)


__all__ = ["SharedMemoryTransport"]
