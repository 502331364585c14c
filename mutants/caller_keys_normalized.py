"""Caller keys are brought to a normal form of Unicode, in which different keys are the same."""

from __future__ import annotations

import dataclasses
import unicodedata

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class Normal(Identifier):
    def given(self, item: Item) -> CallerKey | None:
        given = super().given(item)
        return dataclasses.replace(given, key=unicodedata.normalize("NFKC", given.key)) if given else None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant caller keys normalized",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Normal,
)
