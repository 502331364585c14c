"""B068 (vLLM #36942): rows are kept on the host, and read there before their copy has finished."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.cache import LruCache
from plumbline.interface import Encoded, Runtime

BUG = "B068"
PARENT = "optimized"
ACCEPT = ("MOVE-005",)


class KeptOnTheHost(LruCache):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.port = runtime.port

    def copy(self, encoded: Encoded) -> Encoded:
        if self.port.device.type == "cpu":
            return super().copy(encoded)
        return Encoded(self.there_and_back(encoded.rows), tuple(self.there_and_back(level) for level in encoded.side))

    def there_and_back(self, rows: Tensor) -> Tensor:
        room = self.port.pinned(rows.numel() * rows.element_size()).view(rows.dtype).view(rows.shape)
        room.copy_(rows, non_blocking=True)
        return self.port.move(torch.clone(room))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b068_read_before_copied", cache=KeptOnTheHost
)
