"""B115 (SGLang #37097): ids are decoded and tokenised again, which is not the identity where two ids decode to one
text. Here id 3 reads like id 2."""

import dataclasses
from dataclasses import replace

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identity, PlumblineError, Prepared

BUG = "B115"
PARENT = "optimized"
ACCEPT = ("PREP-003",)


class Retokenises(Preparer):
    def prepared(self, draft: Draft, found: list[Identity | PlumblineError]) -> Prepared | Failure:
        result = super().prepared(draft, found)
        if isinstance(result, Failure):
            return result
        return replace(result, token_ids=result.token_ids.masked_fill(result.token_ids == 3, 2))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b115 ids made canonical",
    prepare=Retokenises,
)
