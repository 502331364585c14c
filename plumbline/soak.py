"""One engine for a while: thousands of requests of all sizes, with processes that are killed, replaced and held up.

    python -m plumbline.soak [--devices cuda:0,cuda:1] [--requests N] [--seed N] [--out FILE]

Prints a summary as JSON. Exit status 1 if anything was found: a wrong byte that check() did not report, an error that no
kill explains, a lease, a name or memory that was left, a process that died by itself or hung.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from plumbline.explore import watchdog
from plumbline.interface import Domain
from plumbline.remote import Gone, Remote
from plumbline.soak_sides import Load, Reading, SoakRank, SoakWorker
from plumbline.trace import Hang
from plumbline.transport_host import fresh_name, global_names, remove_global

MIB = 1 << 20
WORKERS = 2
LIMIT = 240
"""Seconds for everything: a guard, not a measure."""
FENCED = {"PayloadMissing", "LeaseLost"}


@dataclass(frozen=True)
class Scale:
    """Bytes. most: of an ordinary payload. large: of one in ``rare``. host, device: of each worker's pool."""

    most: int = 8 * MIB
    large: int = 64 * MIB
    rare: int = 500
    host: int = 32 * MIB
    device: int = 80 * MIB


@dataclass(frozen=True)
class Event:
    """at: the request before which it happens. kills: whether it ends the process, or holds it up. late: after the worker
    has handed over its messages. seconds: into its batch, and as long as it is held up."""

    at: int
    workers: tuple[int, ...]
    ranks: tuple[int, ...]
    kills: bool
    late: bool
    seconds: float


@dataclass
class Summary:
    """reads: of requests by ranks. unread: that a killed rank or worker took with it. fenced: refused since their worker was
    killed. ways, fallbacks: as in ``Reading``. free: bytes of each GPU after a fifth of the way, and at the end."""

    devices: list[str]
    seed: int
    requests: int = 0
    bytes: int = 0
    reads: int = 0
    fenced: int = 0
    unread: int = 0
    killed_workers: int = 0
    killed_ranks: int = 0
    delays: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    fallbacks: int = 0
    free: list[list[int]] = field(default_factory=list)
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


class Plan:
    """What is drawn from the seed."""

    def __init__(self, seed: int, scale: Scale, requests: int, ranks: int, kills: int, delays: int) -> None:
        self.random, self.scale = random.Random(seed), scale
        self.events = sorted(
            [self._event(requests, ranks, k, kills=True) for k in range(kills)]
            + [self._event(requests, ranks, k, kills=False) for k in range(delays)],
            key=lambda event: event.at,
        )

    def _event(self, requests: int, ranks: int, number: int, kills: bool) -> Event:
        """Kills take a rank, a worker or both in turn."""
        draw = self.random
        workers = (draw.randrange(WORKERS),) if number % 3 else ()
        readers = (draw.randrange(ranks),) if number % 3 != 1 else ()
        at = int(requests * draw.uniform(0.05, 0.95))
        return Event(at, workers, readers, kills, draw.random() < 0.5, draw.uniform(0, 0.03 if kills else 0.3))

    def batch(self, first: int, most: int, ranks: Sequence[int]) -> list[tuple[Load, frozenset[int]]]:
        """Requests for one worker, to some of ``ranks`` each."""
        count = min(self.random.randint(10, 60), most)
        return [(self._load(first + k), self._readers(ranks)) for k in range(count)]

    def _readers(self, ranks: Sequence[int]) -> frozenset[int]:
        return frozenset(self.random.sample(ranks, self.random.randint(1, len(ranks))))

    def _load(self, number: int) -> Load:
        draw = self.random
        count = draw.choice([1, 1, 2, 3])
        if draw.randrange(self.scale.rare) == 0:
            return Load(number, (self.scale.large,), (True,), draw.random() < 0.5)
        sizes = tuple(self._size() for _ in range(count))
        return Load(number, sizes, tuple(draw.random() < 0.8 for _ in sizes), draw.random() < 0.4)

    def _size(self) -> int:
        """0, or as many bytes as have any logarithm."""
        return 0 if self.random.random() < 0.05 else int(math.exp(self.random.uniform(0, math.log(self.scale.most))))


class Soak:
    """The supervisor. Every turn, workers publish a batch each, while ranks read what was published in the turn before."""

    def __init__(
        self,
        devices: Sequence[str],
        requests: int,
        seed: int,
        scale: Scale,
        kills: int,
        delays: int,
        spec: str = "optimized",
    ) -> None:
        self.requests, self.spec = requests, spec
        self.plan = Plan(seed, scale, requests, len(devices), kills, delays)
        self.summary = Summary(list(devices), seed)
        on_gpus = torch.device(devices[0]).type == "cuda"
        there = WORKERS * scale.device if on_gpus else 0
        self.domain = Domain(fresh_name(), WORKERS, len(devices), WORKERS * scale.host, device_bytes=there)
        self.tolerance = scale.device // 2 if on_gpus else None
        """Bytes of a GPU: less than a pool that was not freed, more than what processes differ by. None: nothing to see."""
        self.devices = {
            **{f"worker {w}": devices[-w % len(devices)] for w in range(WORKERS)},
            **{f"rank {r}": device for r, device in enumerate(devices)},
        }
        self.processes: dict[str, Remote[Any]] = {}
        self.joining: set[str] = set()
        self.joined_at = 0
        """How many requests there had been when the latest process joined."""
        self.inbox: dict[int, list[tuple[Load, bytes]]] = {r: [] for r in range(len(devices))}
        self.due: dict[tuple[int, int], int] = {}
        """By request and rank that has not read it: its worker."""
        self.doomed: set[int] = set()
        """Requests whose worker was killed before all had read them."""

    def run(self) -> Summary:
        began = time.monotonic()
        try:
            with watchdog(LIMIT):
                for name in self.devices:
                    self._start(name)
                self._all_joined()
                self._turns()
                self._end()
        except (Hang, TimeoutError, Gone) as error:
            self._found(f"{type(error).__name__}: {error}")
        finally:
            for process in self.processes.values():
                process.discard()
            remove_global(self.domain.name)
        self.summary.seconds = round(time.monotonic() - began, 1)
        return self.summary

    def _turns(self) -> None:
        events = list(self.plan.events)
        while self.summary.requests < self.requests:
            event = None
            if events and events[0].at <= self.summary.requests:
                event = events.pop(0)
                self._all_joined()
            until = events[0].at if events else self.requests
            self._turn(max(until - self.summary.requests, 0), event)
            # Whoever has just joined has not loaded yet what it needs for its work.
            worked = 0 if self.joining else self.summary.requests - self.joined_at
            if not self.summary.free and self.summary.requests >= self.requests // 5 and worked >= self.requests // 20:
                self._look_at_memory()

    def _turn(self, most: int, event: Event | None = None) -> None:
        self._who_joined()
        alive = [name for name in self.processes if name not in self.joining]
        ranks = [r for r in self.inbox if f"rank {r}" in alive]
        workers = [w for w in range(WORKERS) if f"worker {w}" in alive]
        if not ranks or not workers:
            return self._all_joined()
        for w in workers:
            batch = self.plan.batch(self.summary.requests, most, ranks)
            most -= len(batch)
            self.summary.requests += len(batch)
            self.summary.bytes += sum(sum(load.sizes) for load, _ in batch)
            self.processes[f"worker {w}"].send(SoakWorker.send_all, batch)
        for r in ranks:
            batch_of_rank, self.inbox[r] = self.inbox[r], []
            self.processes[f"rank {r}"].send(SoakRank.read_all, batch_of_rank)
        self._strike(event, late=False)
        for w in workers:
            self._published(w)
        self._strike(event, late=True)
        for r in ranks:
            self._read(r)
        self._mourn(event)

    # -------------------------------------------------------------------------------------------------------- answers

    def _published(self, worker: int) -> None:
        if f"worker {worker}" not in self.processes:
            return
        for load, readers, message in self.processes[f"worker {worker}"].answer():
            for r in readers:
                self.inbox[r].append((load, message))
                self.due[load.number, r] = worker

    def _read(self, rank: int) -> None:
        if f"rank {rank}" not in self.processes:
            return
        found: Reading = self.processes[f"rank {rank}"].answer()
        self.summary.ways += found.ways
        self.summary.fallbacks += found.fallbacks
        for number, outcome in found.outcomes.items():
            del self.due[number, rank]
            self.summary.reads += outcome == "right"
            self.summary.fenced += outcome in FENCED
            if outcome != "right" and not (outcome in FENCED and number in self.doomed):
                self._found(f"rank {rank}, request {number}: {outcome}")

    # --------------------------------------------------------------------------------------------------- kills and delays

    def _strike(self, event: Event | None, late: bool) -> None:
        if event is None or event.late is not late:
            return
        names = [*(f"worker {w}" for w in event.workers), *(f"rank {r}" for r in event.ranks)]
        if not event.kills:
            for name in names:
                self.processes[name].stop()
            time.sleep(event.seconds)
            for name in names:
                self.processes[name].go_on()
            self.summary.delays += 1
            return
        time.sleep(event.seconds)
        self.doomed |= {number for (number, _), worker in self.due.items() if worker in event.workers}
        for name in names:
            self.processes.pop(name).kill()

    def _mourn(self, event: Event | None) -> None:
        """Everybody hears of the dead; then others take their numbers."""
        if event is None or not event.kills:
            return
        for r in event.ranks:
            for w in set(range(WORKERS)) - set(event.workers):
                self.processes[f"worker {w}"].call(SoakWorker.lost, r)
            gone = [key for key in self.due if key[1] == r]
            self.summary.unread += len(gone)
            for key in gone:
                del self.due[key]
            self.inbox[r].clear()
        for w in event.workers:
            for r in set(self.inbox) - set(event.ranks):
                self.processes[f"rank {r}"].call(SoakRank.lost, w)
        self.summary.killed_workers += len(event.workers)
        self.summary.killed_ranks += len(event.ranks)
        for name in [*(f"worker {w}" for w in event.workers), *(f"rank {r}" for r in event.ranks)]:
            self._start(name)

    def _start(self, name: str) -> None:
        kind: type[SoakWorker | SoakRank] = SoakWorker if name.startswith("worker") else SoakRank
        self.processes[name] = Remote(kind, self.devices[name], self.spec)
        self.processes[name].send(kind.join, self.domain, int(name.split()[1]))
        self.joining.add(name)

    def _who_joined(self) -> None:
        for name in [name for name in self.joining if self.processes[name].answered(0)]:
            self._joins(name)

    def _all_joined(self) -> None:
        for name in list(self.joining):
            self._joins(name)

    def _joins(self, name: str) -> None:
        self.processes[name].answer()
        self.joining.remove(name)
        self.joined_at = self.summary.requests

    # -------------------------------------------------------------------------------------------------------- accounts

    def _settled(self) -> None:
        """All are there, and everything that was published is read."""
        self._all_joined()
        for _ in range(2):
            self._turn(0)

    def _look_at_memory(self) -> None:
        self._settled()
        if self.tolerance is not None:
            for _ in range(2):  # the first time, each process gives back what it keeps for later
                free = {name: process.call(SoakRank.free_memory) for name, process in self.processes.items()}
            self.summary.free.append([free[f"rank {r}"] for r in self.inbox])

    def _end(self) -> None:
        self._look_at_memory()
        summary = self.summary
        if self.tolerance is not None:
            for before, after, device in zip(summary.free[0], summary.free[-1], summary.devices, strict=True):
                if after < before - self.tolerance:
                    self._found(f"{device} lost {(before - after) / MIB:.0f} MiB")
        if self.due:
            self._found(f"{len(self.due)} requests were never read: {list(self.due)[:3]}")
        for w in range(WORKERS):
            leased = self.processes[f"worker {w}"].call(SoakWorker.leased)
            if leased:
                self._found(f"worker {w} keeps {leased} bytes under leases")
        for name, process in sorted(self.processes.items()):  # ranks first
            process.call(SoakWorker.leave if name.startswith("worker") else SoakRank.leave)
            status = process.end()
            if status:
                self._found(f"{name} ended with {status}")
        if left := global_names(self.domain.name):
            self._found(f"left in shared memory: {left}")

    def _found(self, what: str) -> None:
        self.summary.findings.append(what)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m plumbline.soak", description=(__doc__ or "").splitlines()[0])
    found = [f"cuda:{k}" for k in range(min(torch.cuda.device_count(), 4))]
    parser.add_argument("--devices", default=",".join(found), help="one rank on each; default: up to four GPUs")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    summary = Soak(options.devices.split(","), options.requests, options.seed, Scale(), kills=6, delays=10).run()
    line = json.dumps(vars(summary))
    print(line)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(line + "\n")
    return 1 if summary.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
