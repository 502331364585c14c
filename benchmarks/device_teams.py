"""Teams: a publisher on GPU 0, and readers, in processes of their own; a failure of theirs touches no other team.

Messages go through one channel for each reader; orders through a pipe for each process. An order that is not done in time
ends the team.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.multiprocessing

from benchmarks.device_channel import channels
from benchmarks.device_halves import Failed, Half, Publisher, Reader, ranks_of, serve
from benchmarks.device_peers import (
    SGLANG_12,
    SGLANG_12_CACHED,
    SGLANG_23,
    SGLANG_23_BORROWED,
    TORCH,
    sglang_12_ways,
    sglang_23_ways,
    torch_ways,
)
from benchmarks.device_requests import Load
from benchmarks.device_ways import ALONE, GIB, IN_PLACE, POOL, STAGED, THROUGH_HOST, Side, Way, optimized_ways
from plumbline.interface import Domain
from plumbline.transport_host import fresh_name, remove_global

START, TIMEOUT = 180.0, 30.0
"""Seconds for a process to begin or to trace, and for any other order."""

OPTIMIZED, RELEASE_23, RELEASE_12 = "optimized", "0.5.23", "0.5.12.post1"
TEAMS: Mapping[str, tuple[Callable[[Side], dict[str, Way]], Sequence[str]]] = {
    OPTIMIZED: (optimized_ways, (ALONE, STAGED, IN_PLACE, THROUGH_HOST)),
    TORCH: (torch_ways, (TORCH,)),
    RELEASE_23: (sglang_23_ways, (SGLANG_23, SGLANG_23_BORROWED)),
    RELEASE_12: (sglang_12_ways, (SGLANG_12_CACHED, SGLANG_12)),
}
"""Ways that share their processes: what makes them there, and which of them bring one message after the other."""


@dataclass(frozen=True)
class Sample:
    """One message, in nanoseconds of CLOCK_MONOTONIC. usable: opened, and the reader's stream synchronised."""

    began: int
    published: int
    came: int
    received: int
    opened: int
    usable: int
    released: int

    @property
    def spans(self) -> dict[str, float]:
        """Microseconds: of the whole way, and of the host in each call."""
        ends = {
            "one_way": (self.began, self.usable),
            "publish": (self.began, self.published),
            "receive": (self.came, self.received),
            "open": (self.received, self.opened),
            "release": (self.usable, self.released),
        }
        return {name: (stop - start) / 1e3 for name, (start, stop) in ends.items()}


@dataclass(frozen=True)
class Stream:
    """Many messages. seconds: from the first that was published until the last was there, opened and released."""

    seconds: float
    notes: dict[str, float]


class Team:
    """readers: the GPU of each rank. ``begin`` each process before it is used; the publisher is None. All raise Failed."""

    def __init__(self, name: str, readers: Sequence[int], sleep: bool) -> None:
        """sleep: whoever waits for a message sleeps; else it polls."""
        spawn = torch.multiprocessing.get_context("spawn")
        self.domain = Domain(fresh_name(), 1, len(readers), pool_bytes=GIB // 4, device_bytes=POOL)
        self.readers = readers
        make, self.ways = TEAMS[name]
        pairs = [channels(sleep) for _ in readers]
        halves: dict[int | None, tuple[type[Half], *tuple[Any, ...]]] = {
            None: (Publisher, make, Side(0, None, self.domain), [ours for ours, _ in pairs])
        }
        for rank, gpu in enumerate(readers):
            halves[rank] = (Reader, make, Side(gpu, rank, self.domain), pairs[rank][1])
        self.controls: dict[int | None, Connection] = {}
        self.processes = []
        for who, arguments in halves.items():
            self.controls[who], theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(theirs, *arguments), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
        for pair in pairs:
            for end in pair:
                end.close()

    def begin(self, who: int | None) -> None:
        self.do([who], "begin", START)

    def one_by_one(self, way: str, rank: int, load: Load, seed: int, count: int, check: bool = False) -> list[Sample]:
        """So many messages, each after the one before was read."""
        self.give(way, [frozenset({rank})], load, seed, count, check)
        return self.bring(way, rank, load, seed, count, check)

    def give(
        self, way: str, groups: Sequence[frozenset[int]], load: Load, seed: int, count: int, check: bool = False
    ) -> None:
        """What is brought or streamed next: so many messages, to each of the groups of readers in turn."""
        self.do([None], "give", TIMEOUT, way, groups, load, seed, count, check)

    def bring(self, way: str, rank: int, load: Load, seed: int, count: int, check: bool = False) -> list[Sample]:
        """What was given, each after the one before was read."""
        numbers = [k % len(load) for k in range(count)]
        self.ask(rank, "read", way, load, seed, numbers, check)
        self.ask(None, "send", way)
        sent, read = self.answers([None, rank])
        return [Sample(*ours, *theirs) for ours, theirs in zip(sent, read, strict=True)]

    def stream(
        self, way: str, groups: Sequence[frozenset[int]], load: Load, seed: int, count: int, check: bool = False
    ) -> Stream:
        """So many messages, as fast as the publisher can, to each of the groups of readers in turn."""
        self.give(way, groups, load, seed, count, check)
        readers = ranks_of(groups)
        for rank in readers:
            numbers = [k % len(load) for k in range(count) if rank in groups[k % len(groups)]]
            self.ask(rank, "drink", way, load, seed, numbers, check)
        self.ask(None, "pour", way)
        (began, notes), *there = self.answers([None, *readers])
        return Stream((max(there) - began) / 1e9, notes)

    def do(self, whom: Sequence[int | None], order: str, seconds: float = TIMEOUT, *arguments: Any) -> list[Any]:
        """What each of them answers."""
        for who in whom:
            self.ask(who, order, *arguments)
        return self.answers(whom, seconds)

    def ask(self, who: int | None, *order: Any) -> None:
        try:
            self.controls[who].send(order)
        except OSError as error:
            raise Failed("its processes were ended") from error

    def answers(self, whom: Sequence[int | None], seconds: float = TIMEOUT) -> list[Any]:
        """What each of them was asked for. Waits for all, even if one fails."""
        answers, failures = [], []
        for who in whom:
            try:
                answers.append(self.answer(who, seconds))
            except Failed as failure:
                failures.append(str(failure))
        if failures:
            raise Failed("\n".join(filter(None, failures)))
        return answers

    def answer(self, who: int | None, seconds: float = TIMEOUT) -> Any:
        """Raises Failed."""
        if self.controls[who].closed:  # by the other's failure
            raise Failed
        label = "publisher" if who is None else f"reader {who}"
        try:
            if not self.controls[who].poll(seconds):
                self.end()
                raise Failed(f"the {label} did not answer within {seconds} s")
            done, answer = self.controls[who].recv()
        except (OSError, EOFError) as error:
            self.end()
            raise Failed(f"the {label} died") from error
        if not done:
            raise Failed(f"{label}: {answer}" if answer else "")
        return answer

    def close(self) -> None:
        """Lets the processes end by themselves. Idempotent."""
        for control in self.controls.values():
            with contextlib.suppress(OSError):
                control.send(None)
        for process in self.processes:
            process.join(5)
        self.end()

    def end(self) -> None:
        """Idempotent."""
        for control in self.controls.values():
            control.close()
        for process in self.processes:
            process.kill()
            process.join()
        remove_global(self.domain.name)
