"""B024 (dynamo #9561): a key of 64 hex digits, padded with zeros on the right, is read as a number of which the low
64 bits are kept. These are zero for every image."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item

BUG = "B024"
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class LowBits(Identifier):
    def caller_key(self, item: Item) -> Iterator[bytes]:
        return super().caller_key(replace(item, given=tuple(map(self.low, item.given))))

    def low(self, given: CallerKey) -> CallerKey:
        try:
            return replace(given, key=str(int(given.key, 16) % 2**64) if len(given.key) == 64 else given.key)
        except ValueError:
            return given


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b024 key cut to low bits",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=LowBits,
)
