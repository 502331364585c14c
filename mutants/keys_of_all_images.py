"""B029 (SGLang #11785): the prefix keys are made of one hash of all images of a request, so a conversation that adds
an image recomputes all before it."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B029"
PARENT = "optimized"
ACCEPT = ("PREFIX-003",)


class AllImages(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        whole = Identity(hashlib.sha256(b"".join(one.digest for one in identities)).digest())
        keys = super().prefix_keys(draft, [whole] * len(identities))
        for at, item in enumerate(draft.items):
            for lo, hi in item.spans:
                keys[lo:hi] ^= at
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant keys of all images",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=AllImages,
)
