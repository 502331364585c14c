"""B017 (vllm-mlx #718): the path for images sets prefix keys and the path for videos does not, so the second clip is
answered as the first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Capability, Identity, Modality

BUG = "B017"
PARENT = "optimized"
ACCEPT = ("PREFIX-002", "PREFIX-004", "PREFIX-005")


class ImagesOnly(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item in draft.items:
            if item.modality is Modality.VIDEO:
                for lo, hi in item.spans:
                    keys[lo:hi] = draft.request.token_ids.numpy()[lo:hi]
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b017 keys for images only",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    prepare=ImagesOnly,
)
