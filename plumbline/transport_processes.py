"""Workers and ranks as real processes, with real kills. They talk through files in a folder, so that nobody's death locks
anything: ``w-n`` is message n of worker w, ``rank-r`` what rank r says of each, ``lost-...`` what has died."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.process
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import Domain, Feature, PlumblineError, Publisher, Subscriber
from plumbline.resolve import resolve
from plumbline.transport_fields import parts_of, same_bits
from plumbline.transport_host import transport_of
from plumbline.transport_scenario import WireItem, WireRequest, prepared_of
from plumbline.transport_scenario import parts_of as wire_parts

PATIENCE = 45.0
"""Seconds without any progress after which a process gives up. A slow machine is no failure."""
AHEAD = 16
"""Messages that a worker is ahead of the slowest rank, as long as that rank goes on."""
HELD = 4
"""Payloads that a rank keeps open while it reads others."""


@dataclass(frozen=True)
class Traffic:
    """requests: of each worker. folder: where they meet. spec, replaced: the implementation, as ``resolve`` takes it."""

    spec: str
    replaced: tuple[str, ...]
    folder: str
    name: str
    requests: int
    workers: int = 2
    ranks: int = 2
    lease_seconds: float = 30.0

    def request(self, worker: int, number: int) -> WireRequest:
        """About 2.5 KiB."""
        return WireRequest(
            (WireItem(1000 * worker + number, (20 + number % 30,)), WireItem(number, (3, 4), "bfloat16", dress=2))
        )

    @property
    def domain(self) -> Domain:
        """A pool for a tenth of the requests."""
        pool = self.workers * self.requests * 2500 // 10
        return Domain(self.name, self.workers, self.ranks, max(pool, self.workers * 8192), self.lease_seconds)


@dataclass
class Report:
    """What came of it. outcomes: by rank, then by worker and number. leased: of each worker that lived to say so."""

    outcomes: list[dict[str, str]]
    leased: dict[int, int] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    exits: dict[str, int | None] = field(default_factory=dict)

    def count(self, outcome: str) -> int:
        return sum(o == outcome for rank in self.outcomes for o in rank.values())


def work(traffic: Traffic, worker: int) -> None:
    """A worker's process."""
    torch.set_num_threads(1)
    folder = Path(traffic.folder)
    publisher = transport_of(resolve(traffic.spec, traffic.replaced).implementation, traffic.domain).publisher(worker)
    lost: set[int] = set()
    for number in range(traffic.requests):
        prepared = prepared_of(f"{worker}-{number}", traffic.request(worker, number))
        message = publisher.publish(prepared, frozenset(range(traffic.ranks)) - lost).message
        _write(folder / f"{worker}-{number}", message)
        wait = time.monotonic() + 0.2
        while number - _slowest(folder, traffic, worker, lost) > AHEAD and time.monotonic() < wait:
            time.sleep(0.002)
            _tell(folder, traffic, publisher, lost)
    while _slowest(folder, traffic, worker, lost) < traffic.requests and _quiet(folder) < PATIENCE:
        time.sleep(0.005)
        _tell(folder, traffic, publisher, lost)
    publisher.collect()
    _write(folder / f"leased-{worker}", str(publisher.leased).encode())
    publisher.close()


def _tell(folder: Path, traffic: Traffic, publisher: Publisher, lost: set[int]) -> None:
    publisher.collect()
    for rank in range(traffic.ranks):
        if rank not in lost and (folder / f"lost-rank-{rank}").exists():
            lost.add(rank)
            publisher.lost(rank)


def _slowest(folder: Path, traffic: Traffic, worker: int, lost: set[int]) -> int:
    """Messages of this worker that every living rank has released."""
    done = []
    for rank in set(range(traffic.ranks)) - lost:
        with contextlib.suppress(OSError, ValueError):
            done.append(int((folder / f"done-{rank}-{worker}").read_text()))
            continue
        done.append(0)
    return min(done, default=traffic.requests)


def read(traffic: Traffic, rank: int) -> None:
    """A rank's process."""
    torch.set_num_threads(1)
    folder = Path(traffic.folder)
    subscriber = transport_of(resolve(traffic.spec, traffic.replaced).implementation, traffic.domain).subscriber(rank)
    outcomes: dict[str, str] = {}
    following = dict.fromkeys(range(traffic.workers), 0)
    released = dict.fromkeys(range(traffic.workers), 0)
    held: list[tuple[int, list[Tensor | Feature]]] = []

    def let_go(keep: int) -> None:
        while len(held) > keep:
            worker, parts = held.pop(0)
            for p in parts:
                if not isinstance(p, Tensor):
                    p.release()
            released[worker] += 1
            _write(folder / f"done-{rank}-{worker}", str(released[worker]).encode())

    while following and _quiet(folder) < PATIENCE:
        subscriber.beat()
        idle = True
        for worker in list(following):
            number, path = following[worker], folder / f"{worker}-{following[worker]}"
            if number == traffic.requests or ((folder / f"lost-worker-{worker}").exists() and not path.exists()):
                del following[worker]
                if number < traffic.requests:
                    subscriber.lost(worker)
                continue
            if path.exists():
                idle = False
                following[worker] += 1
                outcomes[f"{worker}-{number}"], parts = _look(
                    subscriber, path.read_bytes(), traffic.request(worker, number)
                )
                held.append((worker, parts))
                let_go(HELD)
                _write(folder / f"progress-{rank}", str(len(outcomes)).encode())
        if idle:
            let_go(0)
            time.sleep(0.002)
    let_go(0)
    subscriber.close()
    _write(folder / f"rank-{rank}", json.dumps(outcomes).encode())


def _look(subscriber: Subscriber, message: bytes, request: WireRequest) -> tuple[str, list[Tensor | Feature]]:
    parts: list[Tensor | Feature] = []
    wanted = [bits_of(p) for item in request.items for p in wire_parts(item)]
    try:
        parts += [p for i in subscriber.receive(message).items for p in parts_of(i.payload)]
        live = [p if isinstance(p, Tensor) else p.open(torch.device("cpu")) for p in parts]
        seen = [bits_of(t).clone() for t in live]
        for p in parts:
            if not isinstance(p, Tensor):
                p.check()
        return "right" if same_bits([seen], [wanted]) else "wrong", parts
    except PlumblineError as error:
        return type(error).__name__, parts


def _quiet(folder: Path) -> float:
    """Seconds since a process of the engine wrote anything."""
    return time.time() - folder.stat().st_mtime


def _write(path: Path, data: bytes) -> None:
    """All at once, for whoever looks."""
    new = path.with_suffix(f".{os.getpid()}")
    new.write_bytes(data)
    new.replace(path)


# -- the test's side


class Engine:
    """The processes of one engine; killed at the end, whatever happened."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic, self.folder = traffic, Path(traffic.folder)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["plumbline.transport_processes"])
        self.processes: dict[str, multiprocessing.process.BaseProcess] = {}
        for w in range(traffic.workers):
            self.processes[f"worker-{w}"] = context.Process(target=work, args=(traffic, w), daemon=True)
        for r in range(traffic.ranks):
            self.processes[f"rank-{r}"] = context.Process(target=read, args=(traffic, r), daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Engine]:
        for process in self.processes.values():
            process.start()
        try:
            yield self
        finally:
            for process in self.processes.values():
                process.kill()
                process.join(10)

    def wait_for(self, rank: int, messages: int) -> None:
        """Until that rank has read so many messages."""
        while _quiet(self.folder) < PATIENCE:
            with contextlib.suppress(OSError, ValueError):
                if int((self.folder / f"progress-{rank}").read_text()) >= messages:
                    return
            time.sleep(0.001)
        raise TimeoutError(f"rank {rank} did not read {messages} messages")

    def kill(self, name: str, tell: bool = True) -> None:
        self.processes[name].kill()
        self.processes[name].join(10)
        if tell:
            (self.folder / f"lost-{name}").touch()

    def pause(self, name: str, seconds: float) -> None:
        pid = self.processes[name].pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def report(self) -> Report:
        """Waits for every process to end."""
        found = Report([{} for _ in range(self.traffic.ranks)])
        for name, process in self.processes.items():
            while process.is_alive() and _quiet(self.folder) < PATIENCE + 10:
                process.join(0.1)
            found.exits[name] = process.exitcode
            if process.is_alive():
                found.late.append(name)
        for r in range(self.traffic.ranks):
            with contextlib.suppress(OSError):
                found.outcomes[r] = json.loads((self.folder / f"rank-{r}").read_text())
        for w in range(self.traffic.workers):
            with contextlib.suppress(OSError):
                found.leased[w] = int((self.folder / f"leased-{w}").read_text())
        return found
