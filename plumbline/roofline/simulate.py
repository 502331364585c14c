"""One engine played event by event: workers, pool, links, late ranks, ViT batches. Knows none of ``fleet``'s formulas."""

from __future__ import annotations

import heapq
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from plumbline.roofline.services import Services

WINDOWS = 20
"""Parts of a run, whose means say how sure the whole's mean is."""


@dataclass(frozen=True)
class Seen:
    """Of one run, after its first tenth. leased: mean payloads in the pool, over time, and its standard error.

    full: fraction of requests that found no room. taken: by window, how often a request met each number of payloads.
    """

    leased: float
    error: float
    full: float
    taken: tuple[dict[int, int], ...]

    def met(self, slots: int) -> tuple[float, float]:
        """Fraction of requests that met that many payloads or more, and its standard error."""
        found = [
            sum(times for many, times in window.items() if many >= slots) / sum(window.values())
            for window in self.taken
        ]
        return statistics.fmean(found), statistics.stdev(found) / len(found) ** 0.5


@dataclass(frozen=True)
class Flood:
    """Of one run in which all requests arrive at once. throughput: requests a second. busy: fraction, of each resource."""

    throughput: float
    busy: dict[str, float]


@dataclass
class Server:
    """First come, first served, by ``units`` at a time."""

    engine: Engine
    seconds: float
    units: int = 1
    working: int = 0
    worked: float = 0.0
    line: deque[tuple[Callable[[], None], Callable[[], None]]] = field(default_factory=deque)

    def serve(self, then: Callable[[], None], begun: Callable[[], None] = lambda: None) -> None:
        """begun: called when service begins; then: when it ends."""
        if not self.seconds:
            begun()
            then()
            return
        self.line.append((then, begun))
        self._next()

    def _next(self) -> None:
        while self.line and self.working < self.units:
            then, begun = self.line.popleft()
            self.working += 1
            begun()
            self.engine.after(self.seconds, self._done(then))

    def _done(self, then: Callable[[], None]) -> Callable[[], None]:
        def done() -> None:
            self.working -= 1
            self.worked += self.seconds
            then()
            self._next()

        return done


class Engine:
    """The state of a run. slots: payloads that fit the pool; None for no end. Times are in seconds."""

    def __init__(
        self, services: Services, ranks: int, workers: int, late: float, kept: float, slots: int | None, seed: int
    ) -> None:
        self.services, self.ranks, self.late, self.kept, self.slots = services, ranks, late, kept, slots
        self.random = random.Random(seed)
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.worker = Server(self, services.worker, workers)
        self.egress, self.pcie = Server(self, services.egress), Server(self, services.pcie)
        self.waiting: list[bool] = []
        self.encoding = False
        self.encoded = 0.0
        self.leased = self.full = self.finished = 0
        self.area = 0.0
        self.taken: dict[int, int] = {}

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), then))

    def step(self) -> None:
        at, _, then = heapq.heappop(self.events)
        self.area += self.leased * (at - self.now)
        self.now = at
        then()

    def arrive(self) -> None:
        """A worker hashes it, and then wants room in the pool, where it may have to copy it."""
        held = False

        def begun() -> None:
            self.after(self.services.worker - self.services.staging, lease)

        def lease() -> None:
            nonlocal held
            self.taken[self.leased] = self.taken.get(self.leased, 0) + 1
            held = self.slots is None or self.leased < self.slots
            self.full += not held
            self.leased += held

        def staged() -> None:
            self.egress.serve(lambda: self.pcie.serve(lambda: self.read(held)))

        if self.services.worker:
            self.worker.serve(staged, begun)
        else:
            lease()
            staged()

    def read(self, held: bool) -> None:
        """Every rank reads when it gets to it; what the slowest has read can be encoded."""
        unread = self.ranks

        def one() -> None:
            nonlocal unread
            unread -= 1
            if not unread:
                self.waiting.append(held)
                self.encode()

        for _ in range(self.ranks):
            self.after(self.random.expovariate(1 / self.late) if self.late else 0.0, one)

    def encode(self) -> None:
        """All that waits is one batch."""
        if self.encoding or not self.waiting:
            return
        batch, self.waiting = self.waiting, []
        self.encoding = True
        seconds = self.services.batch(len(batch))

        def done() -> None:
            self.encoding = False
            self.encoded += seconds
            self.finished += len(batch)
            for held in batch:
                if held:
                    self.after(self.kept, self.release)
            self.encode()

        self.after(seconds, done)

    def release(self) -> None:
        self.leased -= 1


def simulate(
    services: Services,
    *,
    rate: float,
    requests: int,
    seed: int,
    ranks: int = 1,
    workers: int = 1,
    late: float = 0.0,
    kept: float = 0.0,
    slots: int | None = None,
) -> Seen:
    """Lets ``requests`` arrive, at exponentially distributed intervals. What it sees is the same for the same seed.

    A request that finds the pool full goes another way, which takes as long, and holds nothing in the pool.
    """
    engine = Engine(services, ranks, workers, late, kept, slots, seed)
    left = requests

    def arrivals() -> None:
        nonlocal left
        left -= 1
        engine.arrive()
        engine.after(engine.random.expovariate(rate), arrivals)

    def play(until: int) -> None:
        while left > until:
            engine.step()

    engine.after(engine.random.expovariate(rate), arrivals)
    begun = requests - requests // 10
    play(begun)
    start, before, engine.full = engine.now, engine.area, 0
    means, taken = [], []
    for window in range(1, WINDOWS + 1):
        engine.taken = {}
        since, area = engine.now, engine.area
        play(begun - begun * window // WINDOWS)
        means.append((engine.area - area) / (engine.now - since))
        taken.append(engine.taken)
    met = sum(sum(window.values()) for window in taken)
    leased = (engine.area - before) / (engine.now - start)
    return Seen(leased, statistics.stdev(means) / WINDOWS**0.5, engine.full / met, tuple(taken))


def flood(
    services: Services, *, requests: int, seed: int, ranks: int = 1, workers: int = 1, late: float = 0.0
) -> Flood:
    """What the engine gets done when it never lacks work."""
    engine = Engine(services, ranks, workers, late, 0.0, None, seed)
    for _ in range(requests):
        engine.arrive()
    while engine.finished < requests:
        engine.step()
    servers = {"workers": engine.worker, "NVLink": engine.egress, "PCIe": engine.pcie}
    busy = {name: server.worked / server.units / engine.now for name, server in servers.items()}
    return Flood(requests / engine.now, {**busy, "ViT": engine.encoded / engine.now})
