"""An encoder that packs items of all requests into few tower calls; and the same with one wrong line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from plumbline.interface import (
    Encoded,
    EncodingFailed,
    Item,
    Packed,
    PackedItem,
    PayloadMissing,
    PlumblineError,
    Runtime,
    Source,
    Tower,
)


@dataclass(frozen=True, eq=False)
class Job:
    """An item for the tower. index: its place among the results. parts: its payload, opened."""

    index: int
    item: Item
    parts: list[Tensor]

    @property
    def kind(self) -> tuple[str, str, tuple[int, ...]]:
        """What all items of one call have in common, so that nothing is cast, and no other kind comes between two of one."""
        return self.item.modality.value, str(self.parts[0].dtype), tuple(self.parts[0].shape[1:])

    @property
    def patches(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def grid(self) -> tuple[int, int, int] | None:
        if self.item.grid_thw is None:
            return None
        t, h, w = self.item.grid_thw[0].tolist()
        return t, h, w


class Batcher:
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        self.tower, self.spec, self.port = tower, tower.spec, runtime.port
        self.budget = runtime.budgets.patches_per_call

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results: dict[int, Encoded | PlumblineError] = {}
        jobs = []
        for index, item in enumerate(items):
            try:
                job = Job(index, item, self.opened(item))
            except PlumblineError as error:
                results[index] = error
                continue
            if item.source is Source.PRECOMPUTED:
                results[index] = self.precomputed(job)
            elif job.patches == 0:
                empty = torch.empty(0, self.spec.hidden_size, dtype=self.spec.dtype, device=self.port.device)
                results[index] = Encoded(empty, (empty,) * self.spec.side_levels)
            else:
                jobs.append(job)
        for batch in self.batches(jobs):
            results.update(self.run(batch))
        return [results[index] for index in range(len(items))]

    def opened(self, item: Item) -> list[Tensor]:
        if item.payload is None:
            raise PayloadMissing("no payload")
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        return [part if isinstance(part, Tensor) else part.open(self.port.device) for part in parts]

    def precomputed(self, job: Job) -> Encoded:
        """Rows as the caller sent them: main and side rows beside each other."""
        rows, *side = torch.split(self.port.move(torch.cat(job.parts)), self.spec.hidden_size, dim=1)
        return Encoded(rows, tuple(side))

    # region batch
    def batches(self, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Neighbours of one kind, until the next would exceed the budget."""
        batch: list[Job] = []
        for job in sorted(jobs, key=lambda job: job.kind):
            full = sum(one.patches for one in batch) + job.patches > self.budget
            if batch and (full or job.kind != batch[0].kind):
                yield batch
                batch = []
            batch.append(job)
        if batch:
            yield batch

    def run(self, batch: Sequence[Job]) -> dict[int, Encoded | PlumblineError]:
        """One call. If it fails, one for each item, so that only the guilty fail."""
        counts = [self.rows(job) for job in batch]
        patches = torch.cat([part for job in batch for part in job.parts])
        packed = Packed(
            patches=patches if self.spec.moves_input else self.port.move(patches),
            cu_seqlens=torch.tensor([0, *accumulate(n for job in batch for n in self.segments(job))]),
            items=tuple(self.described(job) for job in batch),
        )
        try:
            with torch.no_grad():
                encoded = self.tower(packed)
            levels = [torch.split(level, counts) for level in (encoded.rows, *encoded.side)]
        except Exception as error:
            if len(batch) == 1:
                return {batch[0].index: EncodingFailed(f"{type(error).__name__}: {error}")}
            return {index: result for job in batch for index, result in self.run([job]).items()}
        return {job.index: Encoded(rows, tuple(side)) for job, rows, *side in zip(batch, *levels, strict=True)}

    def rows(self, job: Job) -> int:
        layout = self.spec.layouts[job.item.modality]
        if job.grid is None:
            return job.patches * layout.rows_per_tile
        frames, height, width = job.grid
        return (1 if layout.pools_frames else frames) * height * width // layout.merge**2

    def segments(self, job: Job) -> list[int]:
        """What attends to itself: each frame, or all of them where they share rows; without a grid each tensor."""
        if job.grid is None:
            return [len(part) for part in job.parts]
        frames, height, width = job.grid
        pooled = self.spec.layouts[job.item.modality].pools_frames
        return [job.patches] if pooled else [height * width] * frames

    # endregion

    def described(self, job: Job) -> PackedItem:
        extras = {name: extra.value for name, extra in job.item.extras.items() if extra.affects_rows}
        return PackedItem(job.item.modality, job.grid, tuple(len(part) for part in job.parts), extras)


# region one segment
class OneSegment(Batcher):
    """Right for every image that is one tensor, which is what most tests send."""

    def segments(self, job: Job) -> list[int]:
        return [job.patches]


# endregion
