"""What a transport's processes share, for tests: a domain of its own, shared memory by name, and what is logged."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import (
    Budgets,
    DevicePort,
    Domain,
    Implementation,
    Runtime,
    Subscriber,
    Ticket,
    TowerSpec,
    Transport,
)
from plumbline.rig import RecordingPort
from plumbline.transport_fields import parts_of, same_bits
from plumbline.transport_scenario import LEASE_SECONDS, SPEC, WIDTH, WireItem, WireRequest, identity_of, prepared_of
from plumbline.transport_scenario import parts_of as wire_parts

SHARED_MEMORY = Path("/dev/shm")
_numbers = itertools.count()


def fresh_name() -> str:
    """A domain's name that no other run has."""
    return f"plumbline-test[{os.getpid()}]-{next(_numbers)}"


def global_names(name: str) -> list[str]:
    """What a domain has in shared memory."""
    return sorted(n for n in os.listdir(SHARED_MEMORY) if name in n) if SHARED_MEMORY.is_dir() else []


def remove_global(name: str) -> None:
    """After judging: whatever a run left behind."""
    for left in global_names(name):
        with contextlib.suppress(OSError):
            (SHARED_MEMORY / left).unlink()


def transport_of(
    implementation: Implementation, domain: Domain, spec: TowerSpec = SPEC, port: DevicePort | None = None
) -> Transport:
    """One process's transport, on the CPU if no port is given."""
    assert implementation.transport
    return implementation.transport(Runtime(spec, port or RecordingPort(spec), Budgets(0, 64, 1 << 20), domain))


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Collects what is logged or warned."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear = Ear(logging.WARNING)
    logging.getLogger().addHandler(ear)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield said
            said += [str(w.message) for w in caught]
    finally:
        logging.getLogger().removeHandler(ear)


@lru_cache(maxsize=256)
def capacity(implementation: Implementation, pool: int, workers: int, ranks: int) -> int:
    """Rows of the largest payload, of a few that were tried, that an empty place takes. 0: nothing is put under a lease."""
    domain = Domain(fresh_name(), workers, ranks, pool, LEASE_SECONDS, lambda: 0.0)
    publisher = transport_of(implementation, domain).publisher(0)
    share = pool // workers // (4 * WIDTH)
    try:
        with listening():
            for rows in (share, share * 15 // 16, share * 3 // 4, share // 2):
                ticket = publisher.publish(prepared_of("probe", probe(rows)), frozenset({0}))
                fits = publisher.leased > 0
                ticket.cancel()
                publisher.collect()
                if fits:
                    return rows
            return 0
    finally:
        publisher.close()
        remove_global(domain.name)


def mappings() -> Iterator[tuple[range, str]]:
    """What the process has mapped: addresses, and the file's path where there is one."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, *_, path = line.split(" ", maxsplit=5)
        start, end = (int(address, 16) for address in addresses.split("-"))
        yield range(start, end), path.strip()


def nameless() -> int:
    """Bytes of the process's mappings whose files have no name any more."""
    return sum(len(addresses) for addresses, path in mappings() if path.endswith("(deleted)"))


def probe(rows: int) -> WireRequest:
    """A request whose payload has so many rows of float32."""
    return WireRequest((WireItem(0, (rows,)),))


class Both:
    """Workers and ranks of one domain in this process, for direct tests. ``now`` is their clock."""

    def __init__(
        self,
        implementation: Implementation,
        workers: int = 1,
        ranks: int = 2,
        pool: int = 1 << 16,
        name: str = "",
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.now = 0.0
        self.domain = Domain(name or fresh_name(), workers, ranks, pool, lease_seconds, lambda: self.now)
        self.publishers = [transport_of(implementation, self.domain).publisher(w) for w in range(workers)]
        self.subscribers = [transport_of(implementation, self.domain).subscriber(r) for r in range(ranks)]

    def __enter__(self) -> Both:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            remove_global(self.domain.name)

    def close(self) -> None:
        for publisher in self.publishers:
            publisher.close()
        for subscriber in self.subscribers:
            subscriber.close()

    def publish(self, request: WireRequest, *readers: int, worker: int = 0, name: str = "q") -> Ticket:
        """To all ranks if none is named."""
        to = frozenset(readers) or frozenset(range(self.domain.ranks))
        held = frozenset(identity_of(i) for i in request.items if i.held)
        return self.publishers[worker].publish(prepared_of(name, request), to, held)

    def leases(self, request: WireRequest) -> bool:
        """Whether this implementation puts such a request under a lease."""
        before = self.publishers[0].leased
        ticket = self.publish(request)
        taken = self.publishers[0].leased > before
        ticket.cancel()
        self.publishers[0].collect()
        return taken


class Received:
    """A message as one rank received it."""

    def __init__(self, subscriber: Subscriber, message: bytes) -> None:
        self.prepared = subscriber.receive(message)
        self.parts = [part for item in self.prepared.items for part in parts_of(item.payload)]

    def open(self) -> list[Tensor]:
        return [p if isinstance(p, Tensor) else p.open(torch.device("cpu")) for p in self.parts]

    def reads(self, request: WireRequest) -> bool:
        """Opens, reads and checks. Raises what they raise."""
        wanted = [bits_of(p) for item in request.items if not item.held for p in wire_parts(item)]
        seen = [bits_of(t).clone() for t in self.open()]
        self.check()
        return same_bits([seen], [wanted])

    def check(self) -> None:
        for part in self.parts:
            if not isinstance(part, Tensor):
                part.check()

    def release(self) -> None:
        for part in self.parts:
            if not isinstance(part, Tensor):
                part.release()
