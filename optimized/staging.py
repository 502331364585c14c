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

BUFFERS = 4
"""Uploads on their way at one time; what comes on top goes up from pageable memory."""

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

    A buffer is written again only when its copy has finished. With all buffers on their way the payloads go up from
    pageable memory, which is slower and needs no wait either.
    """

    def __init__(self, port: DevicePort) -> None:
        self.port = port
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
        """A free buffer that is large enough; a free one that is not makes room for it."""
        free = [buffer for buffer in self.buffers if buffer.free()]
        for buffer in free:
            if len(buffer.bytes) >= nbytes:
                return buffer
        if len(self.buffers) == BUFFERS:
            if not free:
                return None
            self.buffers.remove(free[0])
        buffer = Buffer(self.port, max(SMALLEST, 1 << (nbytes - 1).bit_length()))
        self.buffers.append(buffer)
        return buffer


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
