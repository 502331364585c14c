"""Ours: the payload is copied to the host on the way, beside its grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.collect import PAYLOADS, Collector
from optimized.tokens import Integers
from plumbline.interface import Item, Modality

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-020",)


class CopiesPayloads(Collector):
    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        item = super().bundle(modality, ids, processed, where)
        return dataclasses.replace(item, payload=processed[PAYLOADS[modality]].to("cpu", copy=True))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant prep020_payload_copied", collect=CopiesPayloads
)
