"""Input embeddings of a step: each row is written once, into one buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plumbline.interface import BadTokens, Merged, RowCountMismatch, Rows, Runtime


class Merger:
    """Rows at the placeholders of a step, and embeddings of its text everywhere else."""

    def __init__(self, runtime: Runtime) -> None:
        self.spec = runtime.spec
        self.device = runtime.port.device

    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        self.check(rows, token_ids, out)
        offsets = self.offsets(rows)
        mask = self.mask(rows, offsets, len(token_ids))
        embeds = self.buffer(len(token_ids)) if out is None else out
        self.write_text(embeds, token_ids, mask, embed_tokens)
        for one, offset in zip(rows, offsets, strict=True):
            self.write_rows(embeds, one, offset)
        return Merged(embeds, torch.from_numpy(mask), self.side(rows))

    def check(self, rows: Sequence[Rows], token_ids: Tensor, out: Tensor | None) -> None:
        total = sum(one.hi - one.lo for one in rows)
        if token_ids.shape != (total,):
            raise RowCountMismatch(f"token_ids of shape {tuple(token_ids.shape)} for chunks of {total} positions")
        if out is not None and out.shape != (total, self.spec.hidden_size):
            raise RowCountMismatch(f"out has shape {tuple(out.shape)}, where {(total, self.spec.hidden_size)} is due")

    def offsets(self, rows: Sequence[Rows]) -> list[int]:
        """What to add to a position of each request to find it in the step."""
        offsets, start = [], 0
        for one in rows:
            offsets.append(start - one.lo)
            start += one.hi - one.lo
        return offsets

    def mask(self, rows: Sequence[Rows], offsets: Sequence[int], length: int) -> NDArray[np.bool_]:
        mask = np.zeros(length, dtype=bool)
        for one, offset in zip(rows, offsets, strict=True):
            mask[one.positions.numpy() + offset] = True
        return mask

    def buffer(self, length: int) -> Tensor:
        return torch.empty((length, self.spec.hidden_size), dtype=self.spec.dtype, device=self.device)

    def write_text(
        self, embeds: Tensor, token_ids: Tensor, mask: NDArray[np.bool_], embed_tokens: Callable[[Tensor], Tensor]
    ) -> None:
        """Only text reaches the token embedding, so that a placeholder's id may lie beyond its table."""
        positions = np.flatnonzero(~mask)
        if not len(positions):
            return
        ids: NDArray[np.int64] = token_ids.numpy()[positions]
        if ids.min() < 0 or ids.max() >= self.spec.vocab_size:
            raise BadTokens(f"text ids from {ids.min()} to {ids.max()}, outside [0, {self.spec.vocab_size})")
        text = embed_tokens(self.on_device(torch.from_numpy(ids)))
        self.write(embeds, torch.from_numpy(positions), text)

    def write_rows(self, embeds: Tensor, rows: Rows, offset: int) -> None:
        if len(rows.positions):
            self.write(embeds, rows.positions + offset, rows.rows)

    def write(self, embeds: Tensor, positions: Tensor, values: Tensor) -> None:
        """``values`` at ascending positions; as one slice where they are neighbours."""
        first, last = int(positions[0]), int(positions[-1])
        if last - first + 1 == len(positions):
            embeds[first : last + 1].copy_(values)
        else:
            embeds.index_copy_(0, self.on_device(positions), values.to(embeds.dtype))

    def on_device(self, index: Tensor) -> Tensor:
        return index.to(self.device, non_blocking=True)

    def side(self, rows: Sequence[Rows]) -> tuple[Tensor, ...]:
        empty = self.buffer(0)
        return tuple(torch.cat([empty, *(one.side[level] for one in rows)]) for level in range(self.spec.side_levels))
