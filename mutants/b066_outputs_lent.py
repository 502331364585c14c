"""B066's kin (vLLM #28706): callers get the outputs of the graph, which its next replay writes again."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, GraphCache

BUG = "B066"
PARENT = "optimized"
ACCEPT = ("GRAPH-006",)


class Lent(GraphCache):
    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        super().__call__(key, body, inputs)
        return self._captured[key].outputs


implementation = dataclasses.replace(optimized.implementation, name="mutant b066_outputs_lent", tower=with_graphs(Lent))
