"""B001 (SGLang #2151): an image's hash was cut to what fits a token id. Here 2 bytes of the digest are real and the
rest is padding, so 300 images are enough for a collision."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B001"
PARENT = "optimized"
ACCEPT = ("IDENT-001", "IDENT-003", "PREFIX-005")


class ShortHash(Identifier):
    def digest(self, item: Item) -> bytes:
        return super().digest(item)[:2].ljust(32, b"\0")


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b001 digest mostly padding",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=ShortHash,
)
