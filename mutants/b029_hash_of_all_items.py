"""B029 (SGLang #11785): one hash for the whole list of images, from which each image's is derived by its place. With
a second image in the list the first is not found again."""

import dataclasses
import hashlib
from collections.abc import Sequence

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Identity, Item, PlumblineError

BUG = "B029"
PARENT = "optimized"
ACCEPT = ("IDENT-011", "IDENT-002", "PREFIX-003")


class HashOfAll(Identifier):
    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        own = super().__call__(items)
        whole = b"".join(one.digest for one in own if isinstance(one, Identity))
        return [
            Identity(hashlib.sha256(whole + bytes([at % 256]) + one.digest).digest())
            if isinstance(one, Identity)
            else one
            for at, one in enumerate(own)
        ]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b029 hash of all items",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=HashOfAll,
)
