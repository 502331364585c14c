"""vLLM's CVE-2025-46560 (GHSA-vc6m-hm49-g9qg, fixed in 0.8.5; Phi-4-multimodal): each placeholder of a prompt is
replaced by making the whole list of ids anew from what is before it, the new ids and what is after it, so that a
request takes time with the square of its size.

Carried over: prefix keys are spliced into the ids span by span, each time into a new array of the whole prompt.

Shows when a prompt is long and has many spans (a clip with a timestamp before each frame, a document with a marker
after each row of an image): tokens times spans. A quarter of a million
tokens with every second one a span of its own are some 250 GB to copy, half a minute or more in which no other request
of the call or the worker is prepared, where the rest of preparing takes about a second. Keys are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import optimized
from optimized.identify import prefix_keys
from optimized.prepare import Draft, Preparer
from plumbline.interface import Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-025",)


class SplicingPreparer(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> NDArray[np.int64]:
        keys: NDArray[np.int64] = draft.request.token_ids.numpy().copy()
        for item, identity in zip(draft.items, identities, strict=True):
            stream = prefix_keys(identity, sum(hi - lo for lo, hi in item.spans))
            for lo, hi in item.spans:
                keys = np.concatenate([keys[:lo], stream[: hi - lo], keys[hi:]])
                stream = stream[hi - lo :]
        return keys


implementation = dataclasses.replace(
    optimized.implementation, name="mutant keys_spliced_one_by_one", prepare=SplicingPreparer
)
