"""B021's kin (lmdeploy #4933): precomputed rows are hashed anyway, so their caller key is left out, tenant and all."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import CallerKey, Capability, Item, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008", "IDENT-010", "ISO-005")


class Unkeyed(Identifier):
    def given(self, item: Item) -> CallerKey | None:
        return None if item.source is Source.PRECOMPUTED else super().given(item)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant caller keys of rows ignored",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Unkeyed,
)
