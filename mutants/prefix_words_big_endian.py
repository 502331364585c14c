"""The words of the prefix keys are cut from the right stream in the wrong byte order. Inside one engine nothing
shows; a router with the specified format finds nothing."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Identity

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-013",)


class BigEndian(Preparer):
    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> Any:
        keys = super().prefix_keys(draft, identities)
        for item in draft.items:
            for lo, hi in item.spans:
                swapped = keys[lo:hi].byteswap()
                swapped[(swapped >= 0) & (swapped < 1 << 31)] -= 1 << 62
                keys[lo:hi] = swapped
        return keys


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant prefix words big endian",
    prepare=BigEndian,
)
