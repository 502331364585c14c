"""B004 (SGLang #25462) and B009 (dynamo #8340): the hash covers the bytes and nothing else: no shape, no dtype, no grid, and no
division into tensors. Whoever sends the bytes first decides what others see."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import optimized
from optimized.identify import Identifier, raw_bytes
from plumbline.interface import Capability, Item

BUG = "B004, B009"
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class BytesOnly(Identifier):
    def grid(self, item: Item) -> bytes:
        super().grid(item)
        return b""

    def payload(self, item: Item) -> Iterator[bytes]:
        list(super().payload(item))
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        yield b"".join(raw_bytes(part).tobytes() for part in parts if isinstance(part, Tensor))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b004 hash of raw bytes",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=BytesOnly,
)
