"""microsoft/Mage #28 (pictures and a video in one call: the totals agree, so nothing raises, and each run of placeholders gets
the rows of whatever lies first in the stacked tensor), by a shortcut like that of vLLM #12722 and #16440 (multimodal tensors
are batched as views, without a copy, where they lie so).

Carried over: the payloads of a batch that fill one range of one storage, such as the images of a bundle, go to the tower as one
view of that range instead of being joined by a copy. The hole: that they fill the range is found by its ends and their sizes,
and says nothing of their order in it. Where the batch has them in another order than the storage, each item gets the rows of
another; so too where one lies there twice and another place is left out.

Shows when contiguous payloads of one tower call are views of one tensor (a processor's output for several requests, items
that a caller cut himself, neighbours in the pool's segment) that they fill, and are encoded in another order than they lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-001", "ITEM-009", "ENC-005")


class ViewingEncoder(PackingEncoder):
    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        whole = self.whole(parts) if len(parts) > 1 else None
        return super().joined(parts) if whole is None else whole

    def whole(self, parts: Sequence[Tensor]) -> Tensor | None:
        """A view of all of ``parts``; None where they do not fill one range of one storage."""
        if any(not part.is_contiguous() or part.is_neg() or part.is_conj() for part in parts):
            return None
        if len({(part.device, part.untyped_storage().data_ptr()) for part in parts}) > 1:
            return None
        first = parts[0]
        start = min(part.storage_offset() for part in parts)
        stop = max(part.storage_offset() + part.numel() for part in parts)
        if stop - start != sum(part.numel() for part in parts):
            return None
        flat = first.as_strided((stop - start,), (1,), start)
        return flat.view(sum(part.shape[0] for part in parts), *first.shape[1:])


implementation = dataclasses.replace(
    optimized.implementation, name="mutant one_range_of_storage", encoder=ViewingEncoder
)
