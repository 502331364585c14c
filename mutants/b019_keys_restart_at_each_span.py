"""After B019 (TRT-LLM #12472): an item's keys are copied to every part of it, so each span starts with the same keys,
whichever rows it holds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.identify import prefix_keys
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B019"
PARENT = "optimized"
ACCEPT = ("PREFIX-002",)


class Restart(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item, identity in zip(draft.items, identities, strict=True):
            for lo, hi in item.spans:
                keys[lo:hi] = prefix_keys(identity, hi - lo)
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b019 keys restart at each span",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Restart,
)
