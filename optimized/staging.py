"""Pinned memory between host and device: uploads packed into one copy, and downloads that a reader waits for.

Nothing here makes the host wait, but ``Download.read``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from plumbline.interface import DevicePort

LIMIT = 1 << 30
"""Bytes of uploads on their way at one time. From pageable memory, where more would go up, a host waits for the device."""

SMALLEST = 1 << 16
"""Bytes of a buffer at least, so that a few small calls do not make it anew each time."""


class Buffer:
    """Pinned bytes, and the event after the last copy that reads them."""

    def __init__(self, port: DevicePort, nbytes: int) -> None:
        self.bytes = port.pinned(nbytes)
        self.copied: Any = torch.get_device_module(port.device).Event()

    def free(self) -> bool:
        return bool(self.copied.query())


class StagingRing:
    """Payloads of one tower call, joined in pinned memory and brought to the device by one non-blocking copy.

    A buffer is written again only when its copy has finished. What does not fit ``limit`` bytes of buffers while they are on
    their way goes up from pageable memory.
    """

    def __init__(self, port: DevicePort, limit: int = LIMIT) -> None:
        self.port, self.limit = port, limit
        self.buffers: list[Buffer] = []

    def upload(self, parts: Sequence[Tensor]) -> Tensor:
        """[P, ...] on the port's device: the host tensors ``parts`` along dim 0, of one dtype, contiguous."""
        shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
        dtype = parts[0].dtype
        nbytes = math.prod(shape) * dtype.itemsize
        buffer = self.buffer(nbytes) if nbytes else None
        if buffer is None:
            return self.port.move(torch.cat(list(parts)))
        staged = torch.cat(list(parts), out=buffer.bytes[:nbytes].view(dtype).view(shape))
        moved = self.port.move(staged)
        buffer.copied.record(torch.get_device_module(self.port.device).current_stream(self.port.device))
        return moved

    def buffer(self, nbytes: int) -> Buffer | None:
        """The smallest free buffer that is large enough, or a new one; free ones that are too small make room for it."""
        free = sorted((buffer for buffer in self.buffers if buffer.free()), key=lambda buffer: len(buffer.bytes))
        for buffer in free:
            if len(buffer.bytes) >= nbytes:
                return buffer
        size = max(SMALLEST, 1 << (nbytes - 1).bit_length())
        while free and self.held() + size > self.limit:
            self.buffers.remove(free.pop())
        if self.held() + size > self.limit:
            return None
        self.buffers.append(Buffer(self.port, size))
        return self.buffers[-1]

    def held(self) -> int:
        return sum(len(buffer.bytes) for buffer in self.buffers)


class Download:
    """A device tensor on its way to pinned memory of its own.

    The copy is queued on the current stream; ``read`` is the only way to the bytes.
    """

    def __init__(self, port: DevicePort, tensor: Tensor) -> None:
        nbytes = tensor.numel() * tensor.element_size()
        self._values = port.pinned(nbytes).view(tensor.dtype).view(tensor.shape)
        self._values.copy_(tensor, non_blocking=True)
        module = torch.get_device_module(port.device)
        self._copied: Any = module.Event()
        self._copied.record(module.current_stream(port.device))

    def ready(self) -> bool:
        """Host poll: whether ``read`` would return at once."""
        return bool(self._copied.query())

    def read(self) -> Tensor:
        """The values. Waits for the copy."""
        self._copied.synchronize()
        return self._values
