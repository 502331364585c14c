"""A lazy payload inside one process: what transport will deliver, with a log, poison after release, and fencing."""

from __future__ import annotations

import torch
from torch import Tensor

from plumbline.interface import LeaseLost, PayloadMissing, TensorMeta

POISON = 0xA5


class LocalFeature:
    """Implements ``plumbline.interface.Feature`` over a private copy. A fenced one reads as garbage, and check() raises; one
    that is gone cannot be opened.

    events: "open", "release" and "open after release", in order.
    """

    def __init__(self, payload: Tensor, fence: bool = False, gone: bool = False) -> None:
        self._buffer = torch.empty_strided(payload.shape, payload.stride(), dtype=payload.dtype)
        self._buffer.copy_(payload)
        size = payload.numel() * payload.element_size()
        self.meta = TensorMeta(tuple(payload.shape), payload.dtype, size, payload.device)
        self.fence, self.gone = fence, gone
        self.events: list[str] = []

    @property
    def released(self) -> bool:
        return "release" in self.events

    def ready(self) -> bool:
        return not self.released and not self.gone

    def open(self, device: torch.device) -> Tensor:
        if self.released:
            self.events.append("open after release")
            raise PayloadMissing("the payload was released", hint="open it before release")
        if self.gone:
            raise PayloadMissing("the payload is gone", hint="send it again")
        self.events.append("open")
        if self.fence:
            self._poison()
        # No copy on the host: whoever reads the payload after its release must read poison.
        return self._buffer if device.type == "cpu" else self._buffer.to(device, non_blocking=True)

    def release(self) -> None:
        if not self.released:
            self.events.append("release")
            self._poison()

    def check(self) -> None:
        if self.fence and "open" in self.events:
            raise LeaseLost("the payload was fenced off while it was read", hint="send the request again")

    def _poison(self) -> None:
        storage_of(self._buffer).fill_(POISON)


def storage_of(tensor: Tensor) -> Tensor:
    """All bytes of its storage, those between its elements too: uint8, of one dimension."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
