"""sgl-project/sglang #34115 and vllm-project/vllm #31219: embeddings that callers computed are treated as one tensor for the
whole scheduled batch, so that a request fails or not by what it was scheduled with.

Carried over: precomputed items of a step are opened together, joined and moved to the device in one copy, and cut apart
again. The hole: whatever one of them raises when it is opened (its lease is gone, its payload stayed away because the reader
was believed to hold the rows) is the result of all of them. Rows of one item also keep those of the whole step alive.

Shows when a step needs two precomputed items and one of them cannot be opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError, Source

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-014",)


class TogetherEncoder(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        sent = [item for item in items if item.source is Source.PRECOMPUTED]
        if len(sent) < 2:
            return super().encode(items)
        rows = iter(self.uploaded(sent))
        others = iter(super().encode([item for item in items if item.source is not Source.PRECOMPUTED]))
        return [next(rows) if item.source is Source.PRECOMPUTED else next(others) for item in items]

    def uploaded(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        """One copy to the device for all."""
        try:
            opened = [self.opened(item) for item in items]
            columns = torch.cat(self.moved([part for parts in opened for part in parts]))
        except Exception as error:
            return [self.unopened(item, error) for item in items]
        counts = [sum(part.shape[0] for part in parts) for parts in opened]
        levels = [torch.split(level, counts) for level in torch.split(columns, self.spec.hidden_size, dim=1)]
        return [Encoded(rows, tuple(side)) for rows, *side in zip(*levels, strict=True)]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant precomputed_opened_together", encoder=TogetherEncoder
)
