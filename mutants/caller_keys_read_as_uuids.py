"""A caller key that reads as a UUID is kept as its number, so another key with the same digits is the same key."""

from __future__ import annotations

import dataclasses
import uuid

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class Uuids(Identifier):
    def given(self, item: Item) -> CallerKey | None:
        given = super().given(item)
        try:
            return dataclasses.replace(given, key=uuid.UUID(given.key).hex) if given else None
        except ValueError:
            return given


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant caller keys read as uuids",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Uuids,
)
