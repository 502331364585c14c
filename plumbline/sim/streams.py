"""Streams and events, with the names and meanings of ``torch.cuda``'s."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

import torch

from plumbline.sim.schedule import Op, Queue

if TYPE_CHECKING:
    from plumbline.sim.device import Machine

Place: TypeAlias = torch.device | str | int | None


class Stream:
    """A queue of work on one device. Used as a context, it is the current stream inside."""

    def __init__(self, device: Place = None, priority: int = 0, *, queue: Queue | None = None) -> None:
        self.machine = machine()
        self.device_index = self.machine.index(device)
        self.queue = queue or self.machine.scheduler.queue(self.device_index)
        self._before: list[Stream] = []

    @property
    def device(self) -> torch.device:
        return torch.device("sim", self.device_index)

    def synchronize(self) -> None:
        self.machine.wait_for("Stream.synchronize", [self.queue.last])

    def query(self) -> bool:
        self.machine.refuse_in_capture("Stream.query")
        last = self.queue.last
        return last is None or self.machine.scheduler.poll(last)

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        self.wait_event(stream.record_event())

    def __enter__(self) -> Stream:
        self._before.append(self.machine.current(self.device_index))
        self.machine.streams[self.device_index] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.machine.streams[self.device_index] = self._before.pop()


class Event:
    """A point in a stream. One that was never recorded has happened."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.machine = machine()
        self._op: Op | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self.machine.current()
        self.machine.refuse_in_capture("an event", stream.queue)
        self._op = self.machine.scheduler.add(Op(stream.queue))

    def wait(self, stream: Stream | None = None) -> None:
        stream = stream or self.machine.current()
        self.machine.refuse_in_capture("an event", stream.queue)
        if self._op is not None and not self._op.done:
            self.machine.scheduler.add(Op(stream.queue, needs=(self._op,)))

    def query(self) -> bool:
        self.machine.refuse_in_capture("Event.query")
        return self._op is None or self.machine.scheduler.poll(self._op)

    def synchronize(self) -> None:
        self.machine.wait_for("Event.synchronize", [self._op])


MACHINES: list[Machine] = []


def machine() -> Machine:
    """The machine that is switched on. Raises RuntimeError."""
    if not MACHINES:
        raise RuntimeError("no simulated machine is on: with plumbline.sim.Machine(): ...")
    return MACHINES[-1]
