"""The port of a simulated device."""

from __future__ import annotations

from itertools import count

import torch
from torch import Tensor

from plumbline.sim.device import SimTensor
from plumbline.sim.schedule import Op
from plumbline.sim.streams import machine


class SimPort:
    """Implements ``plumbline.interface.DevicePort``. Words lie in host memory; their mapping counts as pinned."""

    _numbers = count()

    def __init__(self, index: int = 0) -> None:
        self.device = torch.device("sim", index)

    def move(self, tensor: Tensor) -> Tensor:
        if tensor.device != self.device:
            return tensor.to(self.device, non_blocking=True)
        assert isinstance(tensor, SimTensor)
        return tensor if tensor.home == self.device.index else tensor.clone()

    def pinned(self, nbytes: int) -> Tensor:
        """Memory of the port's own: once its last tensor is gone, a copy that still reads it reads poison."""
        machine().ledger.contexts.add(self.device.index)
        return machine().pinned.allocate(nbytes, lasting=False)

    def register(self, memory: Tensor) -> None:
        machine().pinned.register(memory)

    def share(self, nbytes: int) -> tuple[Tensor, bytes]:
        memory = machine().empty([nbytes], None, torch.uint8, self.device.index)
        handle = b"%d" % next(self._numbers)
        machine().shared[handle] = memory
        return memory, handle

    def attach(self, handle: bytes) -> Tensor:
        memory = machine().shared.get(handle)
        if memory is None:
            raise OSError("its owner freed it")
        machine().ledger.contexts.add(self.device.index)
        return SimTensor(memory.raw, memory.handle, self.device.index)

    def write(self, word: Tensor, value: int) -> None:
        machine().pinned.register(word)
        self._queue(Op(machine().current(self.device.index).queue, lambda: _set(word, value)))

    def wait(self, word: Tensor, value: int) -> None:
        machine().pinned.register(word)
        self._queue(Op(machine().current(self.device.index).queue, until=lambda: int(word) >= value))

    def _queue(self, op: Op) -> None:
        machine().refuse_in_capture("a word", op.queue)
        machine().ledger.contexts.add(op.queue.device)
        machine().scheduler.add(op)


def _set(word: Tensor, value: int) -> None:
    word.fill_(value)
