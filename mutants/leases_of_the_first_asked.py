"""milvus-io/talon #124 (merged 2026-07): a read whose primary cannot serve it walks on to the next replica, while what is
kept of the placement stays that of the primary; vllm-project/vllm #31404 (a payload stays away because the rows are
held, and they are not) is how the first of several equal items comes to have no payload at all.

Carried over: equal items are encoded once; where the payload of the first is not to be had, the next stands in for it.
The rows are written down for the first requester all the same, with the first's payload as the one whose lease is to be
asked.

Shows with: two requests with one image in one step; the first came without its payload (it was held, and the rows are
gone), the second with a lazy one, which is fenced while it is read. Both get rows; settling asks the first's payload,
which is none, reports nothing, and puts garbage into the cache. The other way round: the first's payload is gone and
fenced, the second's is healthy, and settling takes back the second's good rows with LeaseLost.

Breaks LIFE-009 (LeaseLost for each request whose rows came from a fenced payload), CACHE-010 (rows of a fenced item do
not enter the cache), and ENC-013 / ISO-001 in the second case.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder, Key, Known, Wanted
from plumbline.interface import Encoded, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("LIFE-009", "CACHE-010", "ENC-013", "ISO-001")


class Embed(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        self._first = {key: wanted[0] for key, wanted in missing.items()}
        return super()._encode(missing)

    def _fresh(self, key: Key, request: Admitted, index: int, encoded: Encoded) -> Known:
        return super()._fresh(key, *self._first[key], encoded)


implementation = dataclasses.replace(optimized.implementation, name="mutant leases_of_the_first_asked", embed=Embed)
