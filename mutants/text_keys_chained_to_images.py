"""A text token's key is mixed with that of the image before it. Prefixes still compare right, but a router that knows
the tokens cannot compute the key of plain text."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREFIX-001",)


class Chained(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item in draft.items:
            for _, hi in item.spans:
                if hi < len(keys) and 0 <= keys[hi] < self.spec.vocab_size:
                    keys[hi] ^= abs(int(keys[hi - 1])) & 0xFFFF
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant text keys chained to images",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Chained,
)
