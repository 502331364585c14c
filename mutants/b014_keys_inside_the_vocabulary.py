"""After B014 (LMCache #2932): keys are forced into the range of a signed 32 bit id, where they can equal the id of a
text token."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B014"
PARENT = "optimized"
ACCEPT = ("PREFIX-004", "PREFIX-005")


class Narrow(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item in draft.items:
            for lo, hi in item.spans:
                keys[lo:hi] &= 0x7FFFFFFF
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b014 keys inside the vocabulary",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Narrow,
)
