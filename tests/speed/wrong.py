"""Implementations that a benchmark must give no time for, or find something in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import optimized
from plumbline.interface import Encoded, Item


class Swapped:
    """Gives the rows of the first two items to each other."""

    def __init__(self, runtime: Any, tower: Any) -> None:
        made: Any = optimized.implementation.encoder
        self._encoder = made(runtime, tower)

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        first, second, *rest = self._encoder.encode(items)
        return [second, first, *rest]


def raising(runtime: Any) -> Any:
    raise RuntimeError("no cache today")


def dying(runtime: Any) -> Any:
    os._exit(3)


swapped = dataclasses.replace(optimized.implementation, name="swapped", encoder=Swapped)
dies = dataclasses.replace(optimized.implementation, name="dies", cache=dying)
raises = dataclasses.replace(optimized.implementation, name="raises", cache=raising)
