"""B075, vllm-ascend #16794: a table that was made for a capture is held by its body alone, and the body is dropped."""

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


class Forgets(GraphCache):
    def _capture(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> Captured:
        table = torch.zeros(inputs[0].shape[1], device=inputs[0].device)

        def with_table(patches: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            return body(patches + table, *others)

        captured = super()._capture(key, with_table, inputs)
        self._captured[key] = dataclasses.replace(captured, body=body)
        return captured


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b075_table_given_back", tower=with_graphs(Forgets)
)
