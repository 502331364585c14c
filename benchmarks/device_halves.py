"""What the processes of a team do: the publisher on GPU 0, and its readers. They are given orders, and answer each."""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from benchmarks.device_channel import Channel
from benchmarks.device_counters import Tracer
from benchmarks.device_requests import Load, requests_of
from benchmarks.device_ways import Side, Way, payloads_of
from plumbline.interface import Prepared
from plumbline.requirements import ROOT

AWAIT, FAILED = b"next", b"failed"
KEPT = 4
"""Requests whose payloads a reader of a stream keeps."""

Stamps = tuple[int, ...]
"""Nanoseconds of CLOCK_MONOTONIC."""
Turn = tuple[Any, frozenset[int], list[Channel]]
"""What is published, and for whom."""


class Failed(Exception):
    """A process did not do as ordered."""


class OtherFailed(Failed):
    """It could not, because the process at the other end of the channel did not."""


class Half:
    """Orders of either side."""

    def __init__(self, make: Callable[[Side], dict[str, Way]], side: Side) -> None:
        self.make, self.side = make, side
        self.device = torch.device("cuda", side.gpu)

    def begin(self) -> None:
        torch.cuda.set_device(self.side.gpu)
        self.stream = torch.cuda.current_stream()
        self.stream.synchronize()
        self.ways = self.make(self.side)
        gc.collect()
        gc.freeze()  # so that a collection before each order costs nothing

    def trace(self) -> None:
        self.tracer = Tracer()

    def traced(self) -> list[dict[str, Any]]:
        """What the GPU copied and ran since ``trace``."""
        return self.tracer.stop()


class Publisher(Half):
    """Orders of the process that owns the pool. channels: by rank."""

    def __init__(self, make: Callable[[Side], dict[str, Way]], side: Side, channels: Sequence[Channel]) -> None:
        super().__init__(make, side)
        self.channels = channels
        self.given: list[tuple[Any, frozenset[int]]] = []

    def give(self, name: str, groups: Sequence[frozenset[int]], load: Load, seed: int, count: int, check: bool) -> None:
        """What ``send`` or ``pour`` sends: so many, to each of the groups of readers in turn."""
        way = self.ways[name]
        way.checked = check
        requests = requests_of(load, seed, self.device)
        turns = [(requests[k % len(requests)], groups[k % len(groups)]) for k in range(count)]
        self.given = [(way.give(request, readers), readers) for request, readers in turns]
        for rank in ranks_of(groups):
            drain(self.channels[rank])

    def send(self, name: str) -> list[Stamps]:
        """Each once its reader waits for it, and this process's device has nothing else to do."""
        way = self.ways[name]
        stamps: list[Stamps] = []
        turns, channels = self.take()
        with telling(channels):
            for one, readers, theirs in turns:
                awaited(theirs)
                torch.cuda.synchronize()
                began = time.monotonic_ns()
                message = way.publish(one, readers)
                published = time.monotonic_ns()
                for channel in theirs:
                    channel.send(message)
                stamps.append((began, published))
            awaited(channels)
        way.settle()
        return stamps

    def pour(self, name: str) -> tuple[int, dict[str, float]]:
        """All as fast as it can, once the readers wait. When it began, and the way's notes."""
        way = self.ways[name]
        turns, channels = self.take()
        with telling(channels):
            awaited(channels)
            torch.cuda.synchronize()
            began = time.monotonic_ns()
            for one, readers, theirs in turns:
                message = way.publish(one, readers)
                for channel in theirs:
                    channel.send(message)
            awaited(channels)
        way.settle()
        return began, way.notes()

    def take(self) -> tuple[list[Turn], list[Channel]]:
        """What was given, once, and the channels of all its readers."""
        given, self.given = self.given, []
        turns = [(one, readers, [self.channels[rank] for rank in readers]) for one, readers in given]
        return turns, [self.channels[rank] for rank in ranks_of([readers for _, readers in given])]


class Reader(Half):
    """Orders of a process that reads. numbers: which of the load's requests come, one after the other. check: whether it
    is looked at that they come bit for bit."""

    def __init__(self, make: Callable[[Side], dict[str, Way]], side: Side, channel: Channel) -> None:
        super().__init__(make, side)
        self.channel = channel

    def read(self, name: str, load: Load, seed: int, numbers: Sequence[int], check: bool) -> list[Stamps]:
        """Waits for each payload."""
        way, channel, stream = self.ways[name], self.channel, self.stream
        wanted = requests_of(load, seed, self.device) if check else ()
        stamps: list[Stamps] = []
        drain(channel)
        with telling([channel]):
            for number in numbers:
                channel.send(AWAIT)
                message = channel.receive()
                came = time.monotonic_ns()
                if message == FAILED:
                    raise OtherFailed
                received = way.receive(message)
                had = time.monotonic_ns()
                tensors = way.open(received)
                opened = time.monotonic_ns()
                stream.synchronize()
                usable = time.monotonic_ns()
                if wanted:
                    judge(differences(tensors, wanted[number]))
                start = time.monotonic_ns()
                way.release(received)
                released = time.monotonic_ns() - start + usable
                stamps.append((came, had, opened, usable, released))
                del received, tensors
            torch.cuda.synchronize()
            channel.send(AWAIT)
        return stamps

    def drink(self, name: str, load: Load, seed: int, numbers: Sequence[int], check: bool) -> int:
        """Waits for no payload until it has opened and released all. When the last was there."""
        way, channel = self.ways[name], self.channel
        wanted = requests_of(load, seed, self.device) if check else ()
        kept: deque[list[Tensor]] = deque(maxlen=KEPT)
        differ: list[Tensor] = []
        drain(channel)
        with telling([channel]):
            torch.cuda.synchronize()
            channel.send(AWAIT)
            for number in numbers:
                message = channel.receive()
                if message == FAILED:
                    raise OtherFailed
                received = way.receive(message)
                tensors = way.open(received)
                if wanted:
                    differ += differences(tensors, wanted[number])
                kept.append(tensors)
                way.release(received)
                del received, tensors
            self.stream.synchronize()
            there = time.monotonic_ns()
            judge(differ)
            kept.clear()
            torch.cuda.synchronize()
            channel.send(AWAIT)
        return there


def ranks_of(groups: Sequence[frozenset[int]]) -> list[int]:
    return sorted(frozenset().union(*groups))


def differences(tensors: list[Tensor], wanted: Prepared) -> list[Tensor]:
    """Of each payload whether it differs in any bit: bool [], on its device. Nothing for a way that brings no payloads."""
    found = []
    for tensor, payload in zip(tensors, payloads_of(wanted) if tensors else (), strict=True):
        if (tensor.shape, tensor.dtype, tensor.device) != (payload.shape, payload.dtype, payload.device):
            raise Failed("what came is not what was sent")
        found.append((tensor.view(torch.int32) != payload.view(torch.int32)).any())
    return found


def judge(differ: list[Tensor]) -> None:
    if differ and torch.stack(differ).any():
        raise Failed(f"{int(torch.stack(differ).sum())} of {len(differ)} payloads came with other bits")


def awaited(channels: Sequence[Channel]) -> None:
    """Returns once the readers wait for a message."""
    for channel in channels:
        if channel.receive() != AWAIT:
            raise OtherFailed


def drain(channel: Channel) -> None:
    """Drops what a failure left there."""
    while channel.waiting():
        channel.receive()


@contextlib.contextmanager
def telling(channels: Sequence[Channel]) -> Iterator[None]:
    """Lets the other side know of a failure, for it waits."""
    try:
        yield
    except BaseException:
        for channel in channels:
            channel.send(FAILED)
        raise


def serve(control: Connection, kind: type[Half], *arguments: Any) -> None:
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
                said = "".join(traceback.format_exception(error, limit=-3))
                control.send(
                    (False, said.replace(f"{ROOT}/", ""))
                )  # results are kept, and mean nothing of this machine
