"""B017 (Avarok atlas PR #114): one of two code paths missed the guard. Here the first span of an item gets prefix
keys, and the others keep their placeholders."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B017"
PARENT = "optimized"
ACCEPT = ("PREFIX-002", "PREFIX-004", "PREFIX-005")


class FirstSpan(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item in draft.items:
            for lo, hi in item.spans[1:]:
                keys[lo:hi] = draft.request.token_ids.numpy()[lo:hi]
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b017 keys for first span only",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=FirstSpan,
)
