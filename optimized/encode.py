"""The driver around a tower: few calls, each under the patch budget, and a failure that stays with its item."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from optimized.staging import StagingRing
from plumbline.interface import (
    Encoded,
    EncodingFailed,
    Item,
    Modality,
    Packed,
    PackedItem,
    Part,
    PayloadMissing,
    PlumblineError,
    Runtime,
    Source,
    TensorMeta,
    Tower,
)

Job = tuple[Item, tuple[Tensor, ...]]


def parts_of(item: Item) -> tuple[Part, ...]:
    """The payload's tensors or features, none of them opened. Raises PayloadMissing."""
    if item.payload is None:
        raise PayloadMissing("no payload came with the item", hint="send it again with its payload")
    return item.payload if isinstance(item.payload, tuple) else (item.payload,)


def meta_of(part: Part) -> Tensor | TensorMeta:
    """What has the shape and dtype of a part without opening it."""
    return part if isinstance(part, Tensor) else part.meta


class PackingEncoder:
    """Packs items of one dtype and patch shape into as few tower calls as first-fit decreasing finds."""

    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        self.port = runtime.port
        self.spec = tower.spec
        self.most_patches = runtime.budgets.patches_per_call
        self.tower = tower
        self.staging = StagingRing(self.port) if self.port.device.type != "cpu" else None

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results: dict[int, Encoded | PlumblineError] = {}
        waiting = []
        for index, item in enumerate(items):
            result = self.without_tower(item)
            if result is None:
                waiting.append(index)
            else:
                results[index] = result
        for group in self.groups(items, waiting):
            for batch in self.batches(items, group):
                results.update(zip(batch, self.run([items[index] for index in batch]), strict=True))
        return [results[index] for index in range(len(items))]

    # --------------------------------------------------------------------------------------------- what goes together

    def groups(self, items: Sequence[Item], indexes: Iterable[int]) -> Iterator[list[int]]:
        """Items whose patches can lie in one tensor without a cast. Those of several modalities only where there is room for
        all: the ones must not take room from the others, which fit one call without them."""
        groups: dict[tuple[torch.dtype, tuple[int, ...]], dict[Modality, list[int]]] = {}
        for index in indexes:
            meta = meta_of(parts_of(items[index])[0])
            group = groups.setdefault((meta.dtype, tuple(meta.shape[1:])), {})
            group.setdefault(items[index].modality, []).append(index)
        for group in groups.values():
            together = [index for of_modality in group.values() for index in of_modality]
            if len(group) > 1 and sum(self.patches(items[index]) for index in together) <= self.most_patches:
                yield together
            else:
                yield from group.values()

    def batches(self, items: Sequence[Item], indexes: Sequence[int]) -> list[list[int]]:
        """First fit, largest first. A larger item than the budget is alone."""
        sizes = {index: self.patches(items[index]) for index in indexes}
        batches: list[list[int]] = []
        room: list[int] = []
        for index in sorted(indexes, key=lambda index: -sizes[index]):
            at = next((at for at, left in enumerate(room) if sizes[index] <= left), len(room))
            if at == len(room):
                batches.append([])
                room.append(self.most_patches)
            batches[at].append(index)
            room[at] -= sizes[index]
        return [sorted(batch) for batch in batches]

    def patches(self, item: Item) -> int:
        return sum(meta_of(part).shape[0] for part in parts_of(item))

    def rows(self, item: PackedItem) -> int:
        layout = self.spec.layouts[item.modality]
        if item.grid_thw is not None:
            t, h, w = item.grid_thw
            return (1 if layout.pools_frames else t) * (h // layout.merge) * (w // layout.merge)
        return sum(item.parts) * layout.rows_per_tile

    # ------------------------------------------------------------------------------------------------- without a tower

    def without_tower(self, item: Item) -> Encoded | PlumblineError | None:
        """The result of an item that no tower reads; None for any other."""
        try:
            if item.source is Source.PRECOMPUTED:
                return self.precomputed(item)
            return None if self.patches(item) else self.no_rows()
        except Exception as error:
            return self.unopened(item, error)

    def precomputed(self, item: Item) -> Encoded:
        """The rows as sent, in storage of their own, because the payload's may be taken back."""
        parts = self.moved(self.opened(item))
        width = self.spec.hidden_size
        rows, *side = (
            torch.cat([part[:, level * width : (level + 1) * width] for part in parts])
            for level in range(1 + self.spec.side_levels)
        )
        return Encoded(rows, tuple(side))

    def no_rows(self) -> Encoded:
        empty = torch.empty((0, self.spec.hidden_size), dtype=self.spec.dtype, device=self.port.device)
        return Encoded(empty, (empty,) * self.spec.side_levels)

    # ---------------------------------------------------------------------------------------------------- with a tower

    def run(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        """Results of the items of one batch. What cannot be opened does not keep the others from being encoded."""
        opened = [self.job(item) for item in items]
        encoded = iter(self.attempt([job for job in opened if not isinstance(job, PlumblineError)]))
        return [job if isinstance(job, PlumblineError) else next(encoded) for job in opened]

    def job(self, item: Item) -> Job | PlumblineError:
        try:
            return item, self.opened(item)
        except Exception as error:
            return self.unopened(item, error)

    def unopened(self, item: Item, error: Exception) -> PlumblineError:
        return error.with_traceback(None) if isinstance(error, PlumblineError) else self.failure(item, error)

    def opened(self, item: Item) -> tuple[Tensor, ...]:
        return tuple(part if isinstance(part, Tensor) else part.open(self.port.device) for part in parts_of(item))

    def attempt(self, jobs: Sequence[Job]) -> Sequence[Encoded | PlumblineError]:
        """One call for all jobs; if it fails, one for each, so that only the guilty fail."""
        if not jobs:
            return []
        try:
            return self.call(jobs)
        except Exception as error:
            if len(jobs) == 1:
                return [self.failure(jobs[0][0], error)]
        return [result for job in jobs for result in self.attempt([job])]

    def failure(self, item: Item, error: Exception) -> EncodingFailed:
        said = "".join(traceback.format_exception_only(error)).strip()  # whatever its __str__ does
        failure = EncodingFailed(f"{self.spec.name} on one {item.modality.value}: {said}")
        failure.__cause__ = error
        # Frames would keep the payloads alive for as long as somebody keeps the error, so only their text stays.
        failure.add_note("".join(traceback.format_exception(error)))
        waiting: list[BaseException | None] = [error]
        seen = set[int]()
        while waiting:
            one = waiting.pop()
            if one is not None and id(one) not in seen:
                seen.add(id(one))
                one.__traceback__ = None
                waiting += [
                    one.__cause__,
                    one.__context__,
                    *(one.exceptions if isinstance(one, BaseExceptionGroup) else ()),
                ]
        return failure

    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        patches = self.pack([part for _, parts in jobs for part in parts])
        described = tuple(self.describe(item, parts) for item, parts in jobs)
        packed = Packed(patches, self.segments(described), described)
        with torch.no_grad():
            encoded = self.tower(packed)
        return self.split(encoded, [self.rows(one) for one in described])

    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        """All patches in one contiguous tensor, where the tower wants it; a copy only where they do not lie so."""
        if self.spec.moves_input:
            return self.joined(parts)
        return self.joined(self.moved(parts)) if self.staging else self.port.move(self.joined(parts))

    def moved(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """On the port's device. What lies on the host goes there in one copy."""
        host = [part for part in parts if part.device.type == "cpu"]
        if self.staging is None or not host:
            return [self.port.move(part) for part in parts]
        packed = self.staging.upload(host)
        if len(host) == len(parts):
            return [packed]
        pieces = iter(torch.split(packed, [part.shape[0] for part in host]))
        return [next(pieces) if part.device.type == "cpu" else self.port.move(part) for part in parts]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        if len({part.device for part in parts}) > 1:
            parts = [self.port.move(part) for part in parts]
        return self.contiguous(torch.cat(list(parts)) if len(parts) > 1 else parts[0])

    def contiguous(self, patches: Tensor) -> Tensor:
        """Contiguous with the strides of a fresh tensor, which a dimension of size 1 need not have otherwise."""
        patches = patches.contiguous()
        strides = [*accumulate(reversed(patches.shape[1:]), int.__mul__, initial=1)][::-1]
        return patches.as_strided(patches.shape, strides) if patches.numel() else patches

    def describe(self, item: Item, parts: Sequence[Tensor]) -> PackedItem:
        grid = None if item.grid_thw is None else tuple(item.grid_thw.tolist()[0])
        extras = {name: extra.value for name, extra in item.extras.items() if extra.affects_rows} if item.extras else {}
        return PackedItem(item.modality, grid, tuple([part.shape[0] for part in parts]), extras)

    def segments(self, described: Sequence[PackedItem]) -> Tensor:
        lengths: list[int] = []
        for item in described:
            if item.grid_thw is None:
                lengths += item.parts
            elif self.spec.layouts[item.modality].pools_frames:
                lengths.append(sum(item.parts))
            else:
                frames, height, width = item.grid_thw
                lengths += [height * width] * frames
        return torch.tensor([0, *accumulate(lengths)], dtype=torch.int64)

    def split(self, encoded: Encoded, counts: list[int]) -> list[Encoded]:
        """Views of each item's rows. Raises EncodingFailed where the tower gave others than it should."""
        shape, levels = (sum(counts), self.spec.hidden_size), self.spec.side_levels
        tensors = (encoded.rows, *encoded.side)
        if len(encoded.side) != levels or any(t.shape != shape or t.dtype != self.spec.dtype for t in tensors):
            raise EncodingFailed(
                f"rows of {[(tuple(t.shape), t.dtype) for t in tensors]}, where {1 + levels} of {shape} are due"
            )
        rows, *side = (torch.split(tensor, counts) for tensor in tensors)
        return [Encoded(rows[index], tuple(level[index] for level in side)) for index in range(len(counts))]
