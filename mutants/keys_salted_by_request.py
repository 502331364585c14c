"""B019 (TRT-LLM #12472): the side that stores computes other keys than the side that looks up. Here the request's id
is in them, so no two requests share an image."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity

BUG = "B019"
PARENT = "optimized"
ACCEPT = ("PREFIX-003",)


class Salted(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        salt = hashlib.sha256(draft.request.request_id.encode()).digest()
        for item in draft.items:
            for lo, hi in item.spans:
                keys[lo:hi] ^= int.from_bytes(salt[:3], "little")
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant keys salted by request",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=Salted,
)
