"""B007 (transformers #48162): the names of the extras go through a set, whose order depends on the hash seed of the
process. One process alone never notices."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B007"
PARENT = "optimized"
ACCEPT = ("IDENT-007",)


class SetOrder(Identifier):
    def extras(self, item: Item) -> Iterator[bytes]:
        for name in {name for name, extra in item.extras.items() if extra.affects_rows}:
            yield from super().extras(replace(item, extras={name: item.extras[name]}))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b007 extras in set order",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=SetOrder,
)
