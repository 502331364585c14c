"""vLLM #54283: the names and values of options reach the hash without a boundary, so {ab: c} and {a: bc} are one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier, int64, utf8
from plumbline.interface import Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Joined(Identifier):
    def extras(self, item: Item) -> Iterator[bytes]:
        affecting = {name: extra.value for name, extra in item.extras.items() if extra.affects_rows}
        yield int64(len(affecting))
        for name in sorted(affecting):
            kind, value = self.extra(name, affecting[name])
            yield kind
            yield utf8(name) + value


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extra names joined to values",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Joined,
)
