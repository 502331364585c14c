"""Token ids of a prompt: the tensor that is due, and text inside the vocabulary."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimized.identify import unusable
from plumbline.interface import BadTokens, TowerSpec

Integers = NDArray[np.int64]
MOST_STRETCH = 1 << 20


def is_stretched(tensor: Tensor) -> bool:
    """Whether it would take far more memory to read than it takes."""
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() + MOST_STRETCH


def ids_of(token_ids: Tensor, where: str) -> Integers:
    """int64 [N], N > 0, as a view. Raises BadTokens unless they are a CPU int64 vector that is stored."""
    reason = unusable(token_ids)
    right = not reason and token_ids.device.type == "cpu" and token_ids.dtype == torch.int64
    if not right or token_ids.dim() != 1 or token_ids.shape[0] == 0:
        raise BadTokens(reason or "token_ids are not a CPU int64 vector of at least one token", where=where)
    if is_stretched(token_ids):
        raise BadTokens(f"{token_ids.shape[0]} token ids that are not stored", where=where, hint="send them contiguous")
    ids: Integers = token_ids.numpy()
    return ids


def check_text(ids: Integers, spec: TowerSpec, where: str) -> None:
    """Raises BadTokens for an id outside the vocabulary that is no placeholder."""
    outside = (ids < 0) | (ids >= spec.vocab_size)
    for layout in spec.layouts.values():
        outside &= ids != layout.placeholder_id
    if outside.any():
        at = int(outside.argmax())
        raise BadTokens(f"id {ids[at]} is outside the vocabulary of {spec.vocab_size}", where=f"{where}, position {at}")
