"""B072, SGLang #16902: a graph is found by the size of a call, and its segments are those of the capture."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, GraphCache
from plumbline.interface import DevicePort

BUG = "B072"
PARENT = "optimized"
ACCEPT = ("GRAPH-001",)


class PlanOfTheCapture(GraphCache):
    def __init__(self, port: DevicePort) -> None:
        super().__init__(port)
        self.plans: dict[Hashable, Tensor] = {}

    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        patches, plan = inputs
        return super().__call__(key, body, (patches, self.plans.setdefault(key, plan)))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b072_plan_of_the_capture", tower=with_graphs(PlanOfTheCapture)
)
