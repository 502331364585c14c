"""After B112 (SGLang #27863): the prefix keys are written into the caller's own token ids, which a retry then
sends."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Identity

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("PREP-012", "PREP-003")


class InPlace(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        ids = draft.request.token_ids.numpy()
        ids[:] = super().prefix_keys(draft, identities)
        return ids


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant pad values written in place",
    prepare=InPlace,
)
