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
        if (last := self.queue.last) is not None:
            self.machine.scheduler.finish(last)
        self.machine.synced("Stream.synchronize")

    def query(self) -> bool:
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
        self._op = self.machine.scheduler.add(Op(stream.queue))

    def wait(self, stream: Stream | None = None) -> None:
        stream = stream or self.machine.current()
        if self._op is not None and not self._op.done:
            self.machine.scheduler.add(Op(stream.queue, needs=(self._op,)))

    def query(self) -> bool:
        return self._op is None or self.machine.scheduler.poll(self._op)

    def synchronize(self) -> None:
        if self._op is not None:
            self.machine.scheduler.finish(self._op)
        self.machine.synced("Event.synchronize")


AnyStream: TypeAlias = Stream


class DeviceModule:
    """What ``torch.get_device_module("sim")`` gives."""

    Stream = Stream
    Event = Event

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        self._asked()
        return True

    def device_count(self) -> int:
        self._asked()
        return machine().devices

    def current_device(self) -> int:
        self._asked()
        return machine().device

    def set_device(self, device: Place) -> None:
        machine().device = machine().index(device)

    def current_stream(self, device: Place = None) -> AnyStream:
        return machine().current(machine().index(device))

    def default_stream(self, device: Place = None) -> AnyStream:
        return machine().defaults[machine().index(device)]

    def stream(self, stream: AnyStream) -> AnyStream:
        return stream

    def synchronize(self, device: Place = None) -> None:
        index = machine().index(device)
        machine().scheduler.drain(q for q in machine().scheduler.queues if q.device == index)
        machine().synced("synchronize")

    def _asked(self) -> None:
        if MACHINES:
            machine().ledger.queries += 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Random numbers are the CPU's."""


MACHINES: list[Machine] = []


def machine() -> Machine:
    """The machine that is switched on. Raises RuntimeError."""
    if not MACHINES:
        raise RuntimeError("no simulated machine is on: with plumbline.sim.Machine(): ...")
    return MACHINES[-1]
