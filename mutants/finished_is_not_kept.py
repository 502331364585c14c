"""vLLM #48596, #49671 (both merged): what a request computed in its last step is stored after it has finished, when its
state is gone, so it is not stored, and the next request with the same prefix computes it again. Here settling keeps rows
only if an admitted request brought them or holds them: copying rows for which nobody has asked again seemed needless.

Shows when the request is finished between its step and the settling of that step (the next step begins first, as the
interface allows; or an abort), and the same item comes again: it is opened and encoded again although the cache had room.
Requests that are finished after settling, or whose rows another request still holds, are right.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Known
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-008",)


class Embed(Embedder):
    def admit_rows(self, known: Known) -> Encoded | None:
        if not known.holders and not any(known in request.fresh for request in self._requests.values()):
            return None
        return super().admit_rows(known)


implementation = dataclasses.replace(optimized.implementation, name="mutant finished_is_not_kept", embed=Embed)
