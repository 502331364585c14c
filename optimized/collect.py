"""A Hugging Face processor's output as a request. Positions are found for all placeholders at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from optimized.identify import unusable
from optimized.tokens import Integers, check_text, ids_of
from plumbline.interface import (
    BadGrid,
    BadPayload,
    BadSpans,
    Item,
    Layout,
    Modality,
    Request,
    RequestId,
    RowCountMismatch,
    Source,
    Span,
    TowerSpec,
)

PAYLOADS = {Modality.IMAGE: "pixel_values", Modality.VIDEO: "pixel_values_videos"}
GRIDS = {Modality.IMAGE: "image_grid_thw", Modality.VIDEO: "video_grid_thw"}
MOST_PATCHES = 1 << 31


class Collector:
    """One bundle for each modality. A grid on a device costs one copy to the host, and a wait for it."""

    def __init__(self, spec: TowerSpec) -> None:
        self.spec = spec

    def __call__(self, request_id: RequestId, token_ids: Tensor, processed: Mapping[str, Tensor]) -> Request:
        where = f"request {request_id}"
        ids = ids_of(token_ids, where)
        check_text(ids, self.spec, where)
        owners: dict[int, Modality] = {}
        for modality in PAYLOADS:
            if processed.get(PAYLOADS[modality]) is not None or processed.get(GRIDS[modality]) is not None:
                self.claim(owners, modality, where)
        self.check_orphans(ids, owners, where)
        items = tuple(
            self.bundle(modality, ids, processed, f"{where}, {modality.value}") for modality in owners.values()
        )
        return Request(request_id, token_ids, items)

    def claim(self, owners: dict[int, Modality], modality: Modality, where: str) -> None:
        """Makes the modality the owner of its placeholders."""
        if modality not in self.spec.layouts:
            raise BadPayload(f"{self.spec.name} has no layout for {modality.value}", where=where)
        placeholder = self.spec.layouts[modality].placeholder_id
        if placeholder in owners:
            raise BadSpans(
                f"images and videos share placeholder {placeholder}, so that their order cannot be known",
                where=where,
                hint="send them as one modality, or build the items with their spans",
            )
        owners[placeholder] = modality

    def check_orphans(self, ids: Integers, owners: Mapping[int, Modality], where: str) -> None:
        for modality in PAYLOADS:
            layout = self.spec.layouts.get(modality)
            if layout is not None and layout.placeholder_id not in owners and (ids == layout.placeholder_id).any():
                raise RowCountMismatch(f"placeholders of {modality.value}, and no {PAYLOADS[modality]}", where=where)

    def bundle(self, modality: Modality, ids: Integers, processed: Mapping[str, Tensor], where: str) -> Item:
        payload, grid = processed.get(PAYLOADS[modality]), processed.get(GRIDS[modality])
        if payload is None or grid is None:
            missing = (GRIDS if grid is None else PAYLOADS)[modality]
            raise BadGrid(f"there is no {missing}", where=where, hint=f"rename what your processor gives to {missing}")
        if reason := unusable(payload):
            raise BadPayload(reason, where=where)
        layout = self.spec.layouts[modality]
        positions = np.flatnonzero(ids == layout.placeholder_id)
        grid = self.on_host(grid, len(positions), where)
        rows = self.rows(grid.numpy(), layout, where)
        if rows.sum() != len(positions):
            raise RowCountMismatch(f"{rows.sum()} rows, and {len(positions)} placeholders", where=where)
        return Item(modality, Source.PIXELS, payload, self.spans(positions, rows), grid)

    def on_host(self, grid: Tensor, placeholders: int, where: str) -> Tensor:
        """The grid as CPU int64 [n, 3], 1 <= n <= placeholders, so that what follows is bounded by what was sent."""
        reason = unusable(grid)
        if reason or grid.dtype != torch.int64 or grid.dim() != 2 or grid.shape[1] != 3 or not grid.shape[0]:
            raise BadGrid(reason or f"{grid.dtype} {tuple(grid.shape)}, where int64 [n, 3] is due", where=where)
        if grid.shape[0] > placeholders:
            raise RowCountMismatch(f"{grid.shape[0]} grids, and {placeholders} placeholders", where=where)
        return grid.cpu()

    def rows(self, grid: Integers, layout: Layout, where: str) -> Integers:
        """int64 [n]: rows of each image. Products are taken of numbers that were found too small to wrap."""
        t, h, w = grid.T
        wrong = (grid < 1).any(1) | (grid > MOST_PATCHES).any(1) | (h % layout.merge > 0) | (w % layout.merge > 0)
        if not layout.has_grid or wrong.any() or (t * h > MOST_PATCHES).any() or (t * h * w > MOST_PATCHES).any():
            raise BadGrid(
                f"grids must be due, positive, divisible by {layout.merge} and of at most 2^31 patches", where=where
            )
        rows: Integers = h // layout.merge * (w // layout.merge)
        return rows if layout.pools_frames else t * rows

    def spans(self, positions: Integers, rows: Integers) -> tuple[Span, ...]:
        """Runs of neighbours, cut where an image begins."""
        firsts = np.flatnonzero(np.diff(positions) != 1) + 1
        firsts = np.union1d(np.concatenate(([0], firsts)), np.cumsum(rows)[:-1])
        lasts = np.append(firsts[1:], len(positions)) - 1
        return tuple(zip(positions[firsts].tolist(), (positions[lasts] + 1).tolist(), strict=True))
