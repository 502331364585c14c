"""The processes of a team of ways: a publisher on GPU 0, and readers; a failure of theirs touches no other team.

Messages go through one pipe for each reader, which blocks; orders come through another for each process. An order that is
not done in time ends the team.
"""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor

from benchmarks.device_ways import GIB, PATIENCE, POOL, TEAMS, Side, Way
from benchmarks.transport import PATCH
from plumbline.interface import Domain, Identity, Item, Modality, Prepared, Source
from plumbline.transport_host import fresh_name, remove_global

START, TIMEOUT = 180.0, 30.0
"""Seconds for a process to begin, and for any other order."""
AWAIT = b"next"


class Failed(Exception):
    """A process did not do as ordered."""


class OtherFailed(Failed):
    """It could not, because the process at the other end of the channel did not."""


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


# ------------------------------------------------------------------------------------------------------- in a process


class Publisher:
    """Orders of the process that owns the pool. channels: by rank."""

    def __init__(self, make: Callable[[Side], dict[str, Way]], side: Side, channels: Sequence[Connection]) -> None:
        self.make, self.side, self.channels = make, side, channels
        self.given: list[Any] = []

    def begin(self) -> None:
        begin(self.side.gpu)
        self.ways = self.make(self.side)

    def give(self, name: str, rank: int, sides: tuple[int, int], seed: int, count: int) -> None:
        """What ``send`` sends."""
        drain(self.channels[rank])
        prepared = request_of(sides, seed, torch.device("cuda", self.side.gpu))
        self.given = [self.ways[name].give(prepared, frozenset({rank})) for _ in range(count)]

    def send(self, name: str, rank: int) -> list[tuple[int, int]]:
        """Each once the reader waits for it, and this process's device has nothing else to do."""
        way, channel, readers, stamps = self.ways[name], self.channels[rank], frozenset({rank}), []
        given, self.given = self.given, []
        with telling(channel):
            for one in given:
                awaited(channel)
                torch.cuda.synchronize()
                began = time.monotonic_ns()
                message = way.publish(one, readers)
                published = time.monotonic_ns()
                channel.send_bytes(message)
                stamps.append((began, published))
            awaited(channel)
        way.settle()
        return stamps


class Reader:
    """Orders of a process that reads."""

    def __init__(self, make: Callable[[Side], dict[str, Way]], side: Side, channel: Connection) -> None:
        self.make, self.side, self.channel = make, side, channel

    def begin(self) -> None:
        begin(self.side.gpu)
        self.ways = self.make(self.side)

    def read(self, name: str, count: int, check: tuple[tuple[int, int], int] | None) -> list[tuple[int, ...]]:
        """check: sides and seed of what has to come, bit for bit."""
        way, channel = self.ways[name], self.channel
        stamps: list[tuple[int, ...]] = []
        drain(channel)
        with telling(channel):
            for _ in range(count):
                channel.send_bytes(AWAIT)
                message = channel.recv_bytes()
                came = time.monotonic_ns()
                if not message:
                    raise OtherFailed
                received = way.receive(message)
                had = time.monotonic_ns()
                tensors = way.open(received)
                opened = time.monotonic_ns()
                torch.cuda.current_stream().synchronize()
                usable = time.monotonic_ns()
                if check is not None and tensors:
                    self.compare(tensors, *check)
                start = time.monotonic_ns()
                way.release(received)
                released = time.monotonic_ns() - start + usable
                stamps.append((came, had, opened, usable, released))
                del received, tensors
            torch.cuda.synchronize()
            channel.send_bytes(AWAIT)
        return stamps

    def compare(self, tensors: list[Tensor], sides: tuple[int, int], seed: int) -> None:
        wanted = payload_of(sides, seed, torch.device("cuda", self.side.gpu))
        (tensor,) = tensors
        if tensor.device != wanted.device or not torch.equal(tensor.view(torch.int32), wanted.view(torch.int32)):
            raise Failed("what came is not what was sent")


def begin(gpu: int) -> None:
    torch.cuda.set_device(gpu)
    torch.cuda.current_stream().synchronize()
    gc.collect()
    gc.freeze()  # so that a collection before each order costs nothing


def awaited(channel: Connection) -> None:
    """Returns once the reader waits for a message."""
    if not channel.poll(PATIENCE):
        raise Failed("the reader asked for nothing")
    if channel.recv_bytes() != AWAIT:
        raise OtherFailed


def drain(channel: Connection) -> None:
    """Drops what a failure left there."""
    while channel.poll():
        channel.recv_bytes()


@contextlib.contextmanager
def telling(channel: Connection) -> Iterator[None]:
    """Lets the other side know of a failure, for it waits."""
    try:
        yield
    except BaseException:
        channel.send_bytes(b"")
        raise


def serve(control: Connection, kind: type[Publisher] | type[Reader], *arguments: Any) -> None:
    """A process: carries out orders until there are none. An order is a method's name and its arguments."""
    torch.set_num_threads(1)
    gc.disable()
    worker = kind(*arguments)
    with contextlib.suppress(EOFError):
        while (order := control.recv()) is not None:
            gc.collect()
            try:
                control.send((True, getattr(worker, order[0])(*order[1:])))
            except OtherFailed:
                control.send((False, ""))
            except Exception as error:
                control.send((False, "".join(traceback.format_exception(error, limit=-3))))


def payload_of(sides: tuple[int, int], seed: int, device: torch.device) -> Tensor:
    """float32 [patches, PATCH], the same on every device: whole numbers that it can hold."""
    count = sides[0] * sides[1] * PATCH
    return ((torch.arange(count, device=device) * 40503 + seed) % 65521).float().view(-1, PATCH)


@lru_cache(maxsize=2)
def request_of(sides: tuple[int, int], seed: int, device: torch.device) -> Prepared:
    """One image, four patches to a row, as a processor on the GPU would leave it."""
    tokens = sides[0] * sides[1] // 4 + 8
    payload, grid = payload_of(sides, seed, device), torch.tensor([[1, *sides]])
    item = Item(Modality.IMAGE, Source.PIXELS, payload, ((4, tokens - 4),), grid)
    ids = torch.arange(tokens)
    return Prepared(f"request {seed}", ids, (item,), (Identity(seed.to_bytes(32, "big")),), ids.clone())


# ---------------------------------------------------------------------------------------------------------- from outside


class Team:
    """readers: the GPU of each rank. ``begin`` each process before it is used; the publisher is None."""

    def __init__(self, name: str, readers: Sequence[int]) -> None:
        spawn = torch.multiprocessing.get_context("spawn")
        self.domain = Domain(fresh_name(), 1, len(readers), pool_bytes=GIB // 4, device_bytes=POOL)
        make, self.ways = TEAMS[name]
        pipes = [spawn.Pipe() for _ in readers]
        halves: dict[int | None, tuple[Any, ...]] = {
            None: (Publisher, make, Side(0, None, self.domain), [ours for ours, _ in pipes])
        }
        for rank, gpu in enumerate(readers):
            halves[rank] = (Reader, make, Side(gpu, rank, self.domain), pipes[rank][1])
        self.controls: dict[int | None, Connection] = {}
        self.processes = []
        for who, arguments in halves.items():
            self.controls[who], theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(theirs, *arguments), daemon=True)
            process.start()
            theirs.close()
            self.processes.append(process)
        for pipe in pipes:
            for end in pipe:
                end.close()

    def begin(self, who: int | None) -> None:
        """Raises Failed."""
        self.ask(who, "begin")
        self.answer(who, START)

    def turn(
        self, way: str, rank: int, sides: tuple[int, int], seed: int, count: int, check: bool = False
    ) -> list[Sample]:
        """So many messages, one after the other. Raises Failed."""
        self.give(way, rank, sides, seed, count)
        return self.exchange(way, rank, count, (sides, seed) if check else None)

    def give(self, way: str, rank: int, sides: tuple[int, int], seed: int, count: int) -> None:
        """What the next exchange brings. Raises Failed."""
        self.ask(None, "give", way, rank, sides, seed, count)
        self.answer(None)

    def exchange(self, way: str, rank: int, count: int, check: tuple[tuple[int, int], int] | None) -> list[Sample]:
        """Brings what was given. Raises Failed."""
        self.ask(rank, "read", way, count, check)
        self.ask(None, "send", way, rank)
        failures, stamps = [], []
        for who in (None, rank):
            try:
                stamps.append(self.answer(who))
            except Failed as failure:
                failures.append(str(failure))
        if failures:
            raise Failed("\n".join(filter(None, failures)))
        return [Sample(*sent, *read) for sent, read in zip(*stamps, strict=True)]

    def ask(self, who: int | None, *order: Any) -> None:
        try:
            self.controls[who].send(order)
        except OSError as error:
            raise Failed("its processes were ended") from error

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
