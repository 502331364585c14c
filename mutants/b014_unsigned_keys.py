"""B014 (LMCache #2932): keys are unsigned numbers of 64 bits, half of which a tensor of int64 cannot take."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B014"
PARENT = "optimized"
ACCEPT = ("PREFIX-004", "ISO-001", "ISO-003")


class Unsigned(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities).view("uint64").tolist()
        return np.array(keys, dtype="int64")


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b014 unsigned keys",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Unsigned,
)
