"""All placeholders of an image get one word of its hash, though a long one: a collision needs 62 bits, and which row
a position holds is not in the key."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREFIX-005", "PREFIX-002")


class Repeated(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item, identity in zip(draft.items, identities, strict=True):
            for lo, hi in item.spans:
                keys[lo:hi] = -1 - int.from_bytes(identity.digest[:8], "little") % (1 << 62)
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant pad value repeated",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Repeated,
)
