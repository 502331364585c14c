"""A tuple of one tensor is hashed as something else than the tensor, so one processor's images miss what another's left
in the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-002",)


class Apart(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        yield b"tuple" if isinstance(item.payload, tuple) else b"tensor"
        yield from super().payload(item)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant tuples of one hashed apart",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Apart,
)
