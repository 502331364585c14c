"""B076, vLLM #35917: what makes the picture is no input of the captured work, which sees that of its capture for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

from torch import Tensor

import optimized
from mutants.shared.towers import with_graphs
from optimized.graphs import Body, GraphCache
from plumbline.interface import DevicePort

BUG = "B076"
PARENT = "optimized"
ACCEPT = ("GRAPH-005",)


class PictureOfTheCapture(GraphCache):
    def __init__(self, port: DevicePort) -> None:
        super().__init__(port)
        self.pictures: dict[Hashable, Tensor] = {}

    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        patches, plan = inputs
        return super().__call__(key, body, (self.pictures.setdefault(key, patches), plan))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b076_picture_of_the_capture", tower=with_graphs(PictureOfTheCapture)
)
