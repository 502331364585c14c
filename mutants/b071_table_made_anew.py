"""B071, SGLang #29216: one table for all graphs, made anew for a larger call, while smaller graphs still read the old one."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, GraphCache
from plumbline.interface import DevicePort

BUG = "B071"
PARENT = "optimized"
ACCEPT = ("GRAPH-003",)


class SharedTable(GraphCache):
    def __init__(self, port: DevicePort) -> None:
        super().__init__(port)
        self.table = torch.zeros(0, device=port.device)

    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(inputs[0]) > len(self.table):
            self.table = torch.zeros(len(inputs[0]), device=inputs[0].device)

        def with_table(patches: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            return body(patches + self.table[: len(patches), None], *others)

        return super().__call__(key, with_table, inputs)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b071_table_made_anew", tower=with_graphs(SharedTable)
)
