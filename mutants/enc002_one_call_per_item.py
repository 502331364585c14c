"""Ours: items are encoded one after another, as before batching."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-002",)


class OneByOne(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return [result for item in items for result in super(OneByOne, self).encode([item])]


implementation = dataclasses.replace(optimized.implementation, name="mutant enc002_one_call_per_item", encoder=OneByOne)
