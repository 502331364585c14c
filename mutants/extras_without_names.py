"""The values of the extras are hashed without their names, so width 2 with height 1 and width 1 with height 2, listed
the other way round, are one."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class ValuesOnly(Identifier):
    def extras(self, item: Item) -> Iterator[bytes]:
        count, *fields = super().extras(item)
        values = [b"".join(fields[at + 1 : at + 3]) for at in range(0, len(fields), 3)]
        yield count
        yield from sorted(values)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extras without names",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=ValuesOnly,
)
