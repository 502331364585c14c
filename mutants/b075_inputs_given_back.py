"""B075, vllm-ascend #16794: after its first replay the memory that a graph reads is held by nobody."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, Captured, GraphCache

BUG = "B075"
PARENT = "optimized"
ACCEPT = ("GRAPH-004",)


class GivenBack(GraphCache):
    def _capture(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> Captured:
        captured = super()._capture(key, body, inputs)
        others = tuple(torch.empty_like(static) for static in captured.inputs)
        self._captured[key] = dataclasses.replace(captured, inputs=others)
        return captured


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b075_inputs_given_back", tower=with_graphs(GivenBack)
)
