"""B086, vLLM #31404: a payload stayed away because its rows are held here, and they no longer are. That was never expected, so
the step ends for all requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = "B086"
PARENT = "optimized"
ACCEPT = ("MSG-007",)


class Assumes(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        assert all(item.payload is not None for item in items), "expected an item in the cache"
        return super().encode(items)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b086_left_out_payload_is_assumed", encoder=Assumes
)
