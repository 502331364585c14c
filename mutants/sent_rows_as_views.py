"""dynamo #6061: a received embedding is a view into a reusable transfer buffer and has to be cloned before the buffer is released
for other requests.

Here: precomputed rows of one tensor are not copied, because the request that uses them keeps its lease until it finishes. But
equal items of other requests use the same rows. Shows when two requests share a precomputed item under leases, and the one
whose payload was read finishes first: its place is written by the next request while the other one's rows (of this chunk, or
of a later one) still lie there. No error: the lease that is checked was released properly.
"""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("CHUNK-001", "CHUNK-008", "ENC-001", "LIFE-002")


class ViewsRows(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        """The rows where they lie: the payload stays until the request finishes, and rows may have any strides."""
        parts = self.moved(self.opened(item))
        if len(parts) > 1:
            return super().precomputed(item)
        rows, *side = torch.split(parts[0], self.spec.hidden_size, dim=1)
        return Encoded(rows, tuple(side))


implementation = dataclasses.replace(optimized.implementation, name="mutant sent_rows_as_views", encoder=ViewsRows)
