"""B007 (LMCache #2979, vLLM #15297): Python's own hash of a string is seeded in each process. It reaches the digest,
so two ranks never agree on a key."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B007"
PARENT = "optimized"
ACCEPT = ("IDENT-007",)


class SeededHash(Identifier):
    def header(self, item: Item) -> bytes:
        return super().header(item) + (hash(item.modality.value) & 0xFFFF).to_bytes(2, "little")


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b007 seeded hash in digest",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=SeededHash,
)
