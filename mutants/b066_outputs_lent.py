"""B066's kin (vLLM #28706): callers get the outputs of the graph, which its next replay writes again."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

from torch import Tensor

import optimized
from optimized.graphs import Body, GraphCache
from optimized.towers import load
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = "B066"
PARENT = "optimized"
ACCEPT = ("GRAPH-006",)


class Lent(GraphCache):
    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        super().__call__(key, body, inputs)
        return self._captured[key].outputs


def tower(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    found = load(checkpoint, port)
    found.graphs = Lent(port) if found.graphs is not None else None
    return found


implementation = dataclasses.replace(optimized.implementation, name="mutant b066_outputs_lent", tower=tower)
