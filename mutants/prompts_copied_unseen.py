"""A prompt is made contiguous before it is checked: one stored id and a stride of 0 ask for terabytes. Kin of B121."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-014", "ISO-001", "ISO-003", "ISO-004", "PREP-006")


class Hasty(Preparer):
    def validated(self, request: Request) -> Draft:
        if isinstance(request.token_ids, torch.Tensor):
            request = dataclasses.replace(request, token_ids=request.token_ids.contiguous())
        return super().validated(request)


implementation = dataclasses.replace(optimized.implementation, name="mutant prompts_copied_unseen", prepare=Hasty)
