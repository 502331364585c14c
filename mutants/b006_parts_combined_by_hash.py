"""B006 (SGLang #25462, combine_hashes): what is hashed of an image is combined by Python's own hash of a tuple, which takes each
number modulo 2^61 - 1 and gives 64 bits."""

import dataclasses
import hashlib

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B006"
PARENT = "optimized"
ACCEPT = ("IDENT-001", "PREFIX-005")


class HashOfTuple(Identifier):
    def digest(self, item: Item) -> bytes:
        numbers = [int.from_bytes(hashlib.sha256(field).digest(), "little") for field in self.fields(item)]
        return hash(tuple(numbers)).to_bytes(32, "little", signed=True)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b006 parts combined by hash",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=HashOfTuple,
)
