"""What ``torch.get_device_module("sim")`` gives: the names of ``torch.cuda``."""

from __future__ import annotations

from typing import TypeAlias

from plumbline.sim.graphs import CUDAGraph, Pool, graph
from plumbline.sim.streams import MACHINES, Event, Place, Stream, machine

AnyStream: TypeAlias = Stream


class DeviceModule:
    Stream = Stream
    Event = Event
    CUDAGraph = CUDAGraph
    graph = graph

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
        queues = (queue for queue in machine().scheduler.queues if queue.device == index)
        machine().wait_for("synchronize", [queue.last for queue in queues])

    def graph_pool_handle(self) -> Pool:
        return Pool()

    def is_current_stream_capturing(self) -> bool:
        return machine().capturing(machine().current().queue)

    def _asked(self) -> None:
        if MACHINES:
            machine().ledger.queries += 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Random numbers are the CPU's."""
