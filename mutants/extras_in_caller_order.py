"""The extras are hashed in the order in which the caller happened to set them, so the same item from another code
path has another digest."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-002",)


class CallerOrder(Identifier):
    def extras(self, item: Item) -> Iterator[bytes]:
        for name, extra in item.extras.items():
            if extra.affects_rows:
                yield from super().extras(replace(item, extras={name: extra}))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extras in caller order",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=CallerOrder,
)
