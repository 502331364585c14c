"""TensorRT-LLM #16024 (review): a flattened copy is kept as an attribute of the tensor that it was made of, so that it
is made once; the review asks about static tensors that are written in place.

Carried over: a payload that is not contiguous is copied once, and the copy is kept on it, since a retracted request is
encoded again and requests share pictures. A caller that writes the next picture into the same tensor gets the former
one's rows, under the next one's identity. Shows: a payload that is not contiguous, alone in its tower call, whose
tensor object is used again with other values after its request has finished: wrong rows, which are cached. Besides,
the copy lives as long as the payload. CPU.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("ITEM-010",)


class Keeping(PackingEncoder):
    def contiguous(self, patches: Tensor) -> Tensor:
        if patches.is_contiguous():
            return super().contiguous(patches)
        plain: Tensor | None = getattr(patches, "_plain", None)
        if plain is None:
            plain = super().contiguous(patches)
            patches._plain = plain  # type: ignore[attr-defined]
        return plain


implementation = dataclasses.replace(optimized.implementation, name="mutant kept_on_the_tensor", encoder=Keeping)
