"""After vLLM #23623: rows of bfloat16 are kept as float16, which has fewer powers of two."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.cache import LruCache, owned
from plumbline.interface import Encoded

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-001",)


class Half(LruCache):
    def copy(self, encoded: Encoded) -> Encoded:
        if encoded.rows.dtype is not torch.bfloat16:
            return owned(encoded)
        rows, *side = (t.to(torch.float16).to(torch.bfloat16) for t in (encoded.rows, *encoded.side))
        return Encoded(rows, tuple(side))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant cache001 kept as float16",
    cache=Half,
)
