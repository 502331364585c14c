"""prime-rl #2836 (review: what befalls the one who computes is fanned out to all who wait for the same image).

Carried over: where the payload of an item is not to be had, an equal item of another request stands in for it; one other
is asked, since each further call costs the step's latency. Shows: three requests of one step show the same image, and the
payloads of two of them are gone (fenced, released, sent without) before that of the third is looked at. The third fails
with the others' PayloadMissing, though its own payload is there.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-013",)


class Embed(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        return super()._encode({key: wanted[:2] for key, wanted in missing.items()})


implementation = dataclasses.replace(optimized.implementation, name="mutant one_stand_in", embed=Embed)
