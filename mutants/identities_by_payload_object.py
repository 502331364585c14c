"""Items of a call that share one payload tensor are identified once, whatever else they have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.identify import Identifier
from plumbline.interface import Identity, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004", "IDENT-011")


class Shared(Identifier):
    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        found: dict[int, Identity | PlumblineError] = {}
        return [found.setdefault(id(item.payload), self.identity(item)) for item in items]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant identities by payload object",
    identify=Shared,
)
