"""Input embeddings of a step: text and rows are joined in the order of the prompt, so that each row is written once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimized.rows import ChunkRows, Slice, cut
from plumbline.interface import BadTokens, Encoded, Merged, RowCountMismatch, Rows, Runtime


class Merger:
    """Rows at the placeholders of a step, and embeddings of its text everywhere else."""

    def __init__(self, runtime: Runtime) -> None:
        self.spec = runtime.spec
        self.port = runtime.port

    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        self.check(rows, token_ids, out)
        placed = self.placed(rows)
        mask = self.mask(placed, len(token_ids))
        text = self.text(token_ids, mask, embed_tokens)
        embeds = self.join(self.parts(placed, text, len(token_ids)), out)
        return Merged(embeds, torch.from_numpy(mask), self.side(placed))

    def check(self, rows: Sequence[Rows], token_ids: Tensor, out: Tensor | None) -> None:
        total = sum(one.hi - one.lo for one in rows)
        if token_ids.shape != (total,):
            raise RowCountMismatch(f"token_ids of shape {tuple(token_ids.shape)} for chunks of {total} positions")
        if out is not None and out.shape != (total, self.spec.hidden_size):
            raise RowCountMismatch(f"out has shape {tuple(out.shape)}, where {(total, self.spec.hidden_size)} is due")

    def placed(self, rows: Sequence[Rows]) -> list[Slice]:
        """Slices of all chunks, each with its place in the step."""
        placed: list[Slice] = []
        start = 0
        for one in rows:
            offset = start - one.lo
            placed += [(encoded, lo, hi, at + offset) for encoded, lo, hi, at in self.slices(one)]
            start += one.hi - one.lo
        return placed

    def slices(self, rows: Rows) -> Sequence[Slice]:
        """What is shown where; rows of any other maker are cut where their positions are not neighbours."""
        if isinstance(rows, ChunkRows) and rows.slices is not None:
            return rows.slices
        positions: NDArray[np.int64] = rows.positions.numpy()
        edges = [0, *(np.flatnonzero(np.diff(positions) != 1) + 1).tolist(), len(positions)]
        encoded = Encoded(rows.rows, rows.side)
        return [(encoded, lo, hi, int(positions[lo])) for lo, hi in pairwise(edges) if hi > lo]

    def mask(self, placed: Sequence[Slice], length: int) -> NDArray[np.bool_]:
        mask = np.zeros(length, dtype=bool)
        for _, lo, hi, at in placed:
            mask[at : at + hi - lo] = True
        return mask

    def text(self, token_ids: Tensor, mask: NDArray[np.bool_], embed_tokens: Callable[[Tensor], Tensor]) -> Tensor:
        """Only text reaches the token embedding, so that a placeholder's id may lie beyond its table."""
        ids: NDArray[np.int64] = token_ids.numpy()[~mask]
        if not len(ids):
            return self.buffer(0)
        if ids.min() < 0 or ids.max() >= self.spec.vocab_size:
            raise BadTokens(f"text ids from {ids.min()} to {ids.max()}, outside [0, {self.spec.vocab_size})")
        text = embed_tokens(self.port.move(torch.from_numpy(ids)))
        return text.detach().to(self.spec.dtype)

    def parts(self, placed: Sequence[Slice], text: Tensor, length: int) -> list[Tensor]:
        """Text and rows in the order of the prompt."""
        parts: list[Tensor | None] = []
        gaps: list[int] = []
        done = 0
        for encoded, lo, hi, at in placed:
            if at != done:
                gaps.append(at - done)
                parts.append(None)
            parts.append(cut(encoded.rows, lo, hi))
            done = at + hi - lo
        texts = iter(torch.split(text, [*gaps, length - done]))
        return [next(texts) if part is None else part for part in [*parts, None]]

    def join(self, parts: list[Tensor], out: Tensor | None = None) -> Tensor:
        return torch.cat(parts) if out is None else torch.cat(parts, out=out)

    def buffer(self, length: int) -> Tensor:
        return torch.empty((length, self.spec.hidden_size), dtype=self.spec.dtype, device=self.port.device)

    def side(self, placed: Sequence[Slice]) -> tuple[Tensor, ...]:
        empty = self.buffer(0)
        return tuple(
            self.join([empty, *(cut(encoded.side[level], lo, hi) for encoded, lo, hi, _ in placed)])
            for level in range(self.spec.side_levels)
        )
