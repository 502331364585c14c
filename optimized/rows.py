"""The rows of a chunk as slices of what the items have, joined only when somebody asks for one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from plumbline.interface import Chunk, Encoded, Rows

Slice = tuple[Encoded, int, int, int]
"""An item's rows, the half-open range of them that the chunk shows, and the position of the first."""


def cut(rows: Tensor, lo: int, hi: int) -> Tensor:
    return rows if hi - lo == rows.shape[0] else rows[lo:hi]


class ChunkRows(Rows):
    """Rows whose tensors are made when they are read, so that a merge that knows the slices copies each row once.

    slices: in the order of their positions; None in a copy that ``dataclasses.replace`` made, which has tensors instead.
    """

    slices: Sequence[Slice] | None = None
    empty: Encoded

    @classmethod
    def of(cls, chunk: Chunk, slices: Sequence[Slice], empty: Encoded) -> ChunkRows:
        """empty: what a chunk without placeholders shows."""
        made = cls.__new__(cls)
        known = {"request_id": chunk.request_id, "lo": chunk.lo, "hi": chunk.hi, "slices": slices, "empty": empty}
        object.__setattr__(made, "__dict__", known)
        return made

    @cached_property
    def positions(self) -> Tensor:
        ranges = [np.arange(at, at + hi - lo) for _, lo, hi, at in self.slices or ()]
        return torch.from_numpy(np.concatenate([np.empty(0, dtype=np.int64), *ranges]))

    @cached_property
    def rows(self) -> Tensor:
        return self.join([cut(encoded.rows, lo, hi) for encoded, lo, hi, _ in self.slices or ()], self.empty.rows)

    @cached_property
    def side(self) -> tuple[Tensor, ...]:
        return tuple(
            self.join([cut(encoded.side[level], lo, hi) for encoded, lo, hi, _ in self.slices or ()], empty)
            for level, empty in enumerate(self.empty.side)
        )

    def join(self, pieces: list[Tensor], empty: Tensor) -> Tensor:
        if not pieces:
            return empty
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
