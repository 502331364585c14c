"""vLLM #17973 and transformers' Qwen2.5-VL (``torch.unique_consecutive`` over ``cu_seqlens``, so that no empty window
reaches a kernel of attention), because of what such kernels do with lengths of zero: flash-attention #2568 (merged:
hangs and illegal accesses), FlashKDA #32 (open).

Carried over: equal neighbours in ``cu_seqlens`` are dropped before the tower is called. A payload whose tensors are one
empty and one not then has fewer segments than tensors: a tower of tiles that walks ``items[i].parts`` beside the
segments, as it may, is one behind from there on, for that item and for all that follow in the call.

Shows with a tile item whose payload is divided into tensors of which one has no tiles (a picture without a thumbnail,
beside its slices), alone or with others behind it. Breaks ENC-005 ("one for each payload tensor of any other"),
ITEM-013.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import PackedItem

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-005", "ITEM-013")


class Encoder(PackingEncoder):
    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        found: Tensor = torch.unique_consecutive(super().segments(described))
        return found


implementation = dataclasses.replace(optimized.implementation, name="mutant no_segment_for_nothing", encoder=Encoder)
