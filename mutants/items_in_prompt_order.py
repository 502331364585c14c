"""Ours: the k-th item of the list is taken for the k-th item of the prompt. Processors list by modality, and
prompts interleave."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-001", "ITEM-004")


class PromptOrder(Embedder):
    def admit(self, prepared: Prepared) -> None:
        spans = sorted((item.spans for item in prepared.items if item.spans), key=min)
        dealt = iter(spans)
        items = tuple(dataclasses.replace(item, spans=next(dealt)) if item.spans else item for item in prepared.items)
        super().admit(dataclasses.replace(prepared, items=items))


implementation = dataclasses.replace(optimized.implementation, name="mutant items_in_prompt_order", embed=PromptOrder)
