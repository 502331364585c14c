"""B001 (SGLang #2151, as in 0.5.12): all placeholders of an image get one pad value of 30 bits of its hash. Two
images share one after some 20,000."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B001"
PARENT = "optimized"
ACCEPT = ("PREFIX-004", "PREFIX-005", "PREFIX-002")


class ThirtyBits(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item, identity in zip(draft.items, identities, strict=True):
            for lo, hi in item.spans:
                keys[lo:hi] = int.from_bytes(identity.digest[:4], "little") % (1 << 30)
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b001 pad value of thirty bits",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=ThirtyBits,
)
