"""The digest is as good as that of format 1, and another one: it is claimed to be format 1, and no router or encoder
process that computes it on its own finds the key."""

import dataclasses
import hashlib

import optimized
from optimized.identify import Identifier
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-013",)


class OtherHash(Identifier):
    def digest(self, item: Item) -> bytes:
        return hashlib.sha256(self.header(item)).digest()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant digest of another version",
    identify=OtherHash,
)
