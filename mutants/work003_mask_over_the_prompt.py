"""Ours: each chunk makes a mask of the whole prompt, to cut its part out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

import optimized
from optimized.embed import Embedder, EmbedStep
from plumbline.interface import Chunk

BUG = ""
PARENT = "optimized"
ACCEPT = ("WORK-003",)


class Masks(Embedder):
    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        step = super().step(chunks)
        for chunk in chunks:
            if request := self._requests.get(chunk.request_id):
                mask = torch.zeros(request.length, dtype=torch.bool)
                mask[chunk.lo : chunk.hi] = True
        return step


implementation = dataclasses.replace(optimized.implementation, name="mutant work003_mask_over_the_prompt", embed=Masks)
