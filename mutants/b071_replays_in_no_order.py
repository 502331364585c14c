"""B071's kin (SGLang #28569): a graph is replayed on its caller's stream, beside a replay of it on another."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, GraphCache

BUG = "B071"
PARENT = "optimized"
ACCEPT = ("GRAPH-003",)


class NoOrder(GraphCache):
    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        captured = self._captured.get(key) or self._capture(key, body, inputs)
        for static, given in zip(captured.inputs, inputs, strict=True):
            static.copy_(given)
        captured.graph.replay()
        return tuple(output.clone() for output in captured.outputs)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b071_replays_in_no_order", tower=with_graphs(NoOrder)
)
