"""B077, vLLM #43617: the graph was captured without the branch that makes side rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

import optimized
from optimized.graphs import Body, Captured, GraphCache
from optimized.towers import load
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = "B077"
PARENT = "optimized"
ACCEPT = ("GRAPH-005",)


class NoSideBranch(GraphCache):
    def _capture(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> Captured:
        captured = super()._capture(key, body, inputs)
        rows, *side = captured.outputs
        outputs = (rows, *(torch.zeros_like(level) for level in side))
        self._captured[key] = dataclasses.replace(captured, outputs=outputs)
        return self._captured[key]


def tower(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    found = load(checkpoint, port)
    found.graphs = NoSideBranch(port) if found.graphs is not None else None
    return found


implementation = dataclasses.replace(optimized.implementation, name="mutant b077_side_rows_of_the_capture", tower=tower)
