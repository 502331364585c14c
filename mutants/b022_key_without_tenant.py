"""B022's kin (vLLM #55439): the tenant is not part of the key, so one tenant's uuid hits what
another tenant put there."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B022"
PARENT = "optimized"
ACCEPT = ("ISO-005", "IDENT-008")


class WithoutTenant(Identifier):
    def caller_key(self, item: Item) -> Iterator[bytes]:
        return super().caller_key(replace(item, given=tuple(replace(key, tenant="") for key in item.given)))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b022 key without tenant",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=WithoutTenant,
)
