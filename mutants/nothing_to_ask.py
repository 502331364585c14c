"""sglang #27489, #26923 (merged), #38273: a rank whose own list is empty returns before the collective that the others enter.

Carried over: ``settle`` does not talk to the other ranks about rows whose leases ``finish`` has asked already and found in
order; a loss that it found is told as before. Shows: several ranks, a request is finished between its step and that step's
settle, and its lease was fenced on one rank only (it fell silent, or took the worker for dead). That rank has a loss to tell
and enters the agreement; the others have nothing to say and go on, keeping the rows: a hang until RanksLost, or words of
one agreement taken for those of another. Where ranks are alike or one, and where requests finish after the settle, nothing
differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.embed import Admitted, Embedder, Key, Known
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-002", "RANK-003")


class EagerEmbedder(Embedder):
    def _fresh(self, key: Key, request: Admitted, index: int, encoded: Encoded) -> Known:
        known = super()._fresh(key, request, index, encoded)
        known.lazy = bool(known.features)  # type: ignore[attr-defined]
        return known

    def settle(self, waiting: Sequence[Known]) -> None:
        done = [one for one in waiting if one.lazy and not one.features and one.lost is None]  # type: ignore[attr-defined]
        super().settle([known for known in waiting if known not in done])
        for known in done:
            known.settled = True
            self._try_to_keep(known)


implementation = dataclasses.replace(optimized.implementation, name="mutant nothing_to_ask", embed=EagerEmbedder)
