"""Tenant and key are joined without a boundary, so that tenant t0 with key a is tenant t with key 0a."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-005", "IDENT-008")


class Joined(Identifier):
    def caller_key(self, item: Item) -> Iterator[bytes]:
        yield b"".join(super().caller_key(item))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant tenant and key joined",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Joined,
)
