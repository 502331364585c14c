"""Ours: a step that is one image is served without a copy. The model adds to its input in place, and the rows that are held for
others with it."""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.merge import Merger

BUG = ""
PARENT = "optimized"
ACCEPT = ("MERGE-007", "CHUNK-008")


class Views(Merger):
    def join(self, parts: list[Tensor], out: Tensor | None = None) -> Tensor:
        full = [part for part in parts if len(part)]
        return full[0] if out is None and len(full) == 1 else super().join(parts, out)


implementation = dataclasses.replace(optimized.implementation, name="mutant merge007_view_of_the_rows", merge=Views)
