"""Caller keys are not claimed, and an item that has one is hashed as if it had none, instead of being refused."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-006",)


class NoKeys(Identifier):
    def given(self, item: Item) -> CallerKey | None:
        super().given(item)
        return None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant unclaimed keys ignored",
    capabilities=optimized.implementation.capabilities - {Capability.CALLER_KEYS},
    identify=NoKeys,
)
