"""B014's kin (LMCache #2932): keys of 64 bits are stored in a narrower tensor than they were computed for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B014"
PARENT = "optimized"
ACCEPT = ("PREFIX-004", "PREFIX-005")


class Int32(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        return super().prefix_keys(draft, identities).astype("int32")


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b014 keys of int32",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Int32,
)
