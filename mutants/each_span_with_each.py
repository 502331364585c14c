"""vLLM CVE-2025-46560 (GHSA-vc6m-hm49-g9qg: placeholders of a prompt are treated in quadratic time), kin ComfyUI #12518
(review: a dense n x n mask): overlaps are looked for by comparing each span with each, in one vectorised expression.

Shows: many spans, as prompts of single placeholders between text have them. 32,768 spans (a prompt of 65,536 ids, half a
megabyte) take some 3 GiB, and four times as many 50 GiB: MemoryError for the whole call, which is no PlumblineError, or the
end of the process. With hundreds of spans nothing is to be seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadSpans, Layout, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-025",)


class PairwisePreparer(Preparer):
    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        """Spans do not overlap, and cover all placeholders and nothing else."""
        spans = np.array([span for item in request.items for span in item.spans], dtype=np.int64).reshape(-1, 2)
        lo, hi = spans.T
        meet = np.triu((lo[:, None] < hi) & (lo < hi[:, None]), 1)
        if meet.any():
            left, right = sorted(tuple(spans[at].tolist()) for at in np.argwhere(meet)[0])
            raise BadSpans(f"spans {left} and {right} overlap", where=where)
        ids = request.token_ids.numpy()
        for placeholder in {layout.placeholder_id for layout in self.spec.layouts.values()}:
            covered = np.zeros(len(ids), dtype=bool)
            for item, layout in zip(request.items, layouts, strict=True):
                if layout.placeholder_id == placeholder:
                    for first, last in item.spans:
                        covered[first:last] = True
            wrong = covered ^ (ids == placeholder)
            if wrong.any():
                self.raise_bad_position(int(wrong.argmax()), covered, placeholder, where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant each_span_with_each", prepare=PairwisePreparer
)
