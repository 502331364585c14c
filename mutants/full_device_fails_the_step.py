"""Rows of the caller's are moved outside of what guards the tower: a device without room for one image's fails the whole call."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-014",)


class Unguarded(PackingEncoder):
    def without_tower(self, item: Item) -> Encoded | PlumblineError | None:
        if item.source is Source.PRECOMPUTED and item.payload is not None:
            return self.precomputed(item)
        return super().without_tower(item)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant full_device_fails_the_step", encoder=Unguarded
)
