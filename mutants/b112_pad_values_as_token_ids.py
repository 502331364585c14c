"""B112 (SGLang #27863): the prefix keys of placeholders take the place of the token ids, and sooner or later somebody
looks them up."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identity, PlumblineError, Prepared

BUG = "B112"
PARENT = "optimized"
ACCEPT = ("PREP-003",)


class PadsIds(Preparer):
    def prepared(self, draft: Draft, found: list[Identity | PlumblineError]) -> Prepared | Failure:
        result = super().prepared(draft, found)
        return result if isinstance(result, Failure) else replace(result, token_ids=result.prefix_keys)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b112 pad values as token ids",
    prepare=PadsIds,
)
