"""Buffers of a fixed size for ``cu_seqlens``, as in captured graphs of towers: one that was made for as many segments as a
warm-up had, and longer calls are cut to it.

Carried over: a call has the bounds of its first 16 attention segments.

Shows: a call of more than 16 segments, as of many thumbnails or of one long video. Its segments end before its patches do, so
that a tower refuses it, or leaves the last patches out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-001", "ENC-005", "ISO-001")

MOST = 16


class Encoder(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        return super().segments(described)[: MOST + 1]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant segments_of_the_first_sixteen", encoder=Encoder
)
