"""B012 (LMCache #690) and B016 (sglang-omni #258): placeholders are their own prefix keys, so that a store
outside takes the second image for the first, and so does the radix tree."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B012, B016"
PARENT = "optimized"
ACCEPT = ("PREFIX-002", "PREFIX-004", "PREFIX-005")


class PlaceholderIds(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        return draft.request.token_ids.numpy().copy()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b016 placeholder ids as keys",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=PlaceholderIds,
)
