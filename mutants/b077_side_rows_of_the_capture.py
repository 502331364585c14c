"""B077, vLLM #43617: the graph was captured without its last branch, which makes side rows in families that have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, Captured, GraphCache

BUG = "B077"
PARENT = "optimized"
ACCEPT = ("GRAPH-005",)


class NoLastBranch(GraphCache):
    def _capture(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> Captured:
        captured = super()._capture(key, body, inputs)
        outputs = (*captured.outputs[:-1], torch.zeros_like(captured.outputs[-1]))
        self._captured[key] = dataclasses.replace(captured, outputs=outputs)
        return self._captured[key]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b077_side_rows_of_the_capture", tower=with_graphs(NoLastBranch)
)
