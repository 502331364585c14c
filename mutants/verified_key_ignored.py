"""Where the content is hashed anyway, the caller's key seems superfluous, and is left out. The tenants then share
digests, and one can ask whether another sent an image."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item, Trust

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-010", "ISO-005")


class VerifiedIgnored(Identifier):
    def caller_key(self, item: Item) -> Iterator[bytes]:
        trusted = tuple(key for key in item.given if key.trust is Trust.TRUSTED)
        return super().caller_key(replace(item, given=trusted))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant verified key ignored",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=VerifiedIgnored,
)
