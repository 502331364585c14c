"""Caller keys are cut to the 64 characters of a hexadecimal digest, so two URLs with one beginning are one key."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008",)


class Short(Identifier):
    def given(self, item: Item) -> CallerKey | None:
        given = super().given(item)
        return dataclasses.replace(given, key=given.key[:64]) if given else None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant caller keys cut to 64 characters",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Short,
)
