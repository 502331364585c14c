"""Tenants are compared in lower case, and two of them share images."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-005",)


class Lower(Identifier):
    def given(self, item: Item) -> CallerKey | None:
        given = super().given(item)
        return dataclasses.replace(given, tenant=given.tenant.lower()) if given else None


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant tenants in lower case",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Lower,
)
