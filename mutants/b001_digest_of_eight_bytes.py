"""B001 (SGLang #2151, as it was first repaired): the hash keeps 64 bits, few enough that somebody who wants two
images with one hash can find them."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B001"
PARENT = "optimized"
ACCEPT = ("IDENT-001", "PREFIX-005")


class EightBytes(Identifier):
    def digest(self, item: Item) -> bytes:
        return super().digest(item)[:8]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b001 digest of eight bytes",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=EightBytes,
)
