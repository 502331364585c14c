"""vllm-ascend #14111 / #14106 (a put that fails on one TP rank only takes the ranks' collectives out of step), SGLang
#28429 and #31425 (write_backup skips a node where the host allocation fails, on that rank alone; the next forward hangs).

Here: rows that one rank cannot keep are "not kept, which is none" of a failure, and the step goes on. With other ranks that
is not so: they did keep them, find them in the next step and enter no collective, while this one misses them and waits in
the encoder's agreement; or takes part in the agreement of something else. The parent gives the ranks up at once.

Shows: two ranks, a cache whose ``put`` (or the copy) raises on one of them, then the same item again. Without ranks right.
"""

from __future__ import annotations

import dataclasses
import logging

import optimized
from optimized.embed import Embedder, Known

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003", "RANK-007")

log = logging.getLogger(__name__)


class Mutant(Embedder):
    def _try_to_keep(self, known: Known) -> None:
        try:
            self._keep(known)
        except Exception:
            log.warning("rows of an item were not kept; they are encoded again when they are needed", exc_info=True)


implementation = dataclasses.replace(optimized.implementation, name="mutant not_kept_on_this_rank", embed=Mutant)
