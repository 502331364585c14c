"""Validation, splitting of bundles, identities and prefix keys: from requests to prepared requests.

Everything is checked against sizes that the caller really sent, in Python integers, before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimized.identify import decimal, prefix_keys, unusable, utf8
from optimized.tokens import check_text, ids_of, is_stretched
from plumbline.interface import (
    BadExtra,
    BadGrid,
    BadPayload,
    BadSpans,
    CallerKey,
    DuplicateRequest,
    Extra,
    Failure,
    Identify,
    Identity,
    Item,
    Layout,
    MalformedRequest,
    Modality,
    Payload,
    PayloadMissing,
    PlumblineError,
    Prepared,
    Request,
    RowCountMismatch,
    Runtime,
    Source,
    Span,
    TooLarge,
    Trust,
)

Grid = tuple[int, int, int]
MOST_PATCHES = 1 << 31
SCALARS = (bool, int, float, str, bytes)


@dataclass(frozen=True, eq=False)
class Draft:
    """A validated request that waits for its identities. items: one per image."""

    request: Request
    items: tuple[Item, ...]


class Preparer:
    """One result for each request, in order. A bad request fails alone."""

    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        self.spec = runtime.spec
        self.most_patches = runtime.budgets.item_patches
        self.identify = identify

    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        seen: set[str] = set()
        drafts = [self.draft(request, seen) for request in requests]
        found = iter(self.identify([item for draft in drafts if isinstance(draft, Draft) for item in draft.items]))
        return [
            self.prepared(draft, list(islice(found, len(draft.items)))) if isinstance(draft, Draft) else draft
            for draft in drafts
        ]

    def draft(self, request: Request, seen: set[str]) -> Draft | Failure:
        try:
            self.check_request(request, seen)
            return self.validated(request)
        except PlumblineError as error:
            # The traceback's frames would keep the payloads alive for as long as somebody keeps the error.
            return Failure(getattr(request, "request_id", ""), error.with_traceback(None))

    def prepared(self, draft: Draft, found: list[Identity | PlumblineError]) -> Prepared | Failure:
        request = draft.request
        identities = []
        for image, one in enumerate(found):
            if isinstance(one, PlumblineError):
                where = one.where or f"request {request.request_id}, image {image}"
                return Failure(request.request_id, type(one)(one.what, where=where, hint=one.hint))
            identities.append(one)
        keys = self.prefix_keys(draft, identities)
        return Prepared(request.request_id, request.token_ids, draft.items, tuple(identities), torch.from_numpy(keys))

    def prefix_keys(self, draft: Draft, identities: Sequence[Identity]) -> NDArray[np.int64]:
        """Token ids, and at placeholders the keys of their item in row order."""
        keys: NDArray[np.int64] = draft.request.token_ids.numpy().copy()
        for item, identity in zip(draft.items, identities, strict=True):
            stream = prefix_keys(identity, sum(hi - lo for lo, hi in item.spans))
            row = 0
            for lo, hi in item.spans:
                keys[lo:hi] = stream[row : row + hi - lo]
                row += hi - lo
        return keys

    # ---------------------------------------------------------------------------------------------------- one request

    def check_request(self, request: Request, seen: set[str]) -> None:
        if not isinstance(request, Request) or not isinstance(request.request_id, str):
            raise MalformedRequest("a request is a Request with a str as its id")
        where = f"request {request.request_id}"
        if request.request_id in seen:
            raise DuplicateRequest("the id is in use in this call", where=where, hint="give each request its own id")
        seen.add(request.request_id)
        if not isinstance(request.items, tuple) or not all(isinstance(item, Item) for item in request.items):
            raise MalformedRequest("items are not a tuple of Item", where=where)

    def validated(self, request: Request) -> Draft:
        where = f"request {request.request_id}"
        ids = ids_of(request.token_ids, where)
        layouts = [self.layout(item, f"{where}, item {index}", len(ids)) for index, item in enumerate(request.items)]
        self.check_positions(request, layouts, where)
        check_text(ids, self.spec, where)
        items: list[Item] = []
        for index, (item, layout) in enumerate(zip(request.items, layouts, strict=True)):
            items += self.split(item, layout, f"{where}, item {index}")
        return Draft(request, tuple(items))

    def layout(self, item: Item, where: str, length: int) -> Layout:
        """The item's layout, after a check of everything that later checks rely on."""
        if not isinstance(item.modality, Modality) or item.modality not in self.spec.layouts:
            raise BadPayload(f"{self.spec.name} has no layout for the item's modality", where=where)
        if not isinstance(item.source, Source):
            raise BadPayload("the item's source is not a Source", where=where)
        if not isinstance(item.spans, tuple | list):
            raise BadSpans("spans are not a tuple of pairs", where=where)
        for at, span in enumerate(item.spans):  # named by number, because a hostile int is too long to print
            if not isinstance(span, tuple | list) or len(span) != 2 or any(type(end) is not int for end in span):
                raise BadSpans(f"span {at} is not a pair of ints", where=where)
            if not 0 <= span[0] < span[1] <= length:
                raise BadSpans(f"span {at} is empty, reversed or outside [0, {length})", where=where)
        return self.spec.layouts[item.modality]

    def check_positions(self, request: Request, layouts: Sequence[Layout], where: str) -> None:
        """Spans do not overlap, and cover all placeholders and nothing else."""
        spans = sorted(tuple(span) for item in request.items for span in item.spans)
        for left, right in pairwise(spans):
            if right[0] < left[1]:
                raise BadSpans(f"spans {left} and {right} overlap", where=where)
        ids: NDArray[np.int64] = request.token_ids.numpy()
        for placeholder in {layout.placeholder_id for layout in self.spec.layouts.values()}:
            covered = np.zeros(len(ids), dtype=bool)
            for item, layout in zip(request.items, layouts, strict=True):
                if layout.placeholder_id == placeholder:
                    for lo, hi in item.spans:
                        covered[lo:hi] = True
            wrong = covered ^ (ids == placeholder)
            if wrong.any():
                self.raise_bad_position(int(wrong.argmax()), covered, placeholder, where)

    def raise_bad_position(self, at: int, covered: NDArray[np.bool_], placeholder: int, where: str) -> None:
        what = f"a span covers another token than {placeholder}" if covered[at] else "a placeholder outside all spans"
        raise BadSpans(what, where=f"{where}, position {at}", hint="expand placeholders before preparing")

    # ------------------------------------------------------------------------------------------------------- one item

    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        """One item for each image; its payload is a view of the bundle's."""
        parts = self.parts(item, layout, where)
        grids = self.grids(item, layout, where)
        sizes, rows = self.counts(item, layout, parts, grids)
        payloads = self.divide_payload(item, parts, sizes, where)
        self.check_sizes(sizes, where)
        spans = self.divide_spans(item.spans, rows, where)
        self.check_extras(item.extras, len(sizes), where)
        self.check_given(item.given, len(sizes), where)
        if len(sizes) == 1 and not any(extra.per_image for extra in item.extras.values()):
            yield item
            return
        for index, payload in enumerate(payloads):
            yield replace(
                item,
                payload=payload,
                spans=spans[index],
                grid_thw=None if item.grid_thw is None else item.grid_thw[index : index + 1],
                extras=self.extras_of(item.extras, index),
                given=item.given[index : index + 1],
            )

    def parts(self, item: Item, layout: Layout, where: str) -> tuple[Tensor, ...]:
        """The payload's tensors, each of the shape and the one dtype that the item must have."""
        if item.payload is None:
            raise PayloadMissing("the item has no payload", where=where, hint="send it with its payload")
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        precomputed = item.source is Source.PRECOMPUTED
        shape = (self.row_width(),) if precomputed else layout.patch_shape
        dtypes = {self.spec.dtype} if precomputed else self.spec.payload_dtypes
        if not parts:
            raise BadPayload("the payload is an empty tuple", where=where)
        tensors: list[Tensor] = []
        for part in parts:
            if reason := unusable(part):
                raise BadPayload(reason, where=where, hint="send dense tensors")
            assert isinstance(part, Tensor)
            if part.dtype not in dtypes or part.dtype != (tensors or [part])[0].dtype:
                raise BadPayload(f"dtype {part.dtype}, where one of {sorted(map(str, dtypes))} is read", where=where)
            if part.dim() == 0 or part.shape[1:] != shape:
                raise BadPayload(f"shape {tuple(part.shape)}, where {('n', *shape)} is read", where=where)
            tensors.append(part)
        return tuple(tensors)

    def row_width(self) -> int:
        return self.spec.hidden_size * (1 + self.spec.side_levels)

    def grids(self, item: Item, layout: Layout, where: str) -> list[Grid] | None:
        grid = item.grid_thw
        if grid is None:
            if layout.has_grid and item.source is not Source.PRECOMPUTED:
                raise BadGrid(f"{item.modality.value} needs a grid", where=where)
            return None
        if not layout.has_grid:
            raise BadGrid(f"{item.modality.value} has no grid", where=where)
        reason = unusable(grid)
        if reason or grid.device.type != "cpu" or grid.dtype != torch.int64 or grid.dim() != 2 or grid.shape[1] != 3:
            raise BadGrid(reason or "a grid is a CPU int64 tensor of shape [n, 3]", where=where)
        if grid.shape[0] == 0:
            raise BadGrid("a grid of no images", where=where)
        if grid.shape[0] > max(1, len(item.spans)):  # also bounds the list below by what the caller really sent
            raise RowCountMismatch(f"{grid.shape[0]} images, and {len(item.spans)} spans", where=where)
        grids: list[Grid] = [(t, h, w) for t, h, w in grid.tolist()]
        for t, h, w in grids:
            if min(t, h, w) <= 0 or h % layout.merge or w % layout.merge or t * h * w > MOST_PATCHES:
                raise BadGrid(
                    f"grid {(t, h, w)} is not positive, not divisible by {layout.merge}, or beyond 2^31 patches",
                    where=where,
                )
        return grids

    def counts(
        self, item: Item, layout: Layout, parts: tuple[Tensor, ...], grids: list[Grid] | None
    ) -> tuple[list[int], list[int]]:
        """For each image, dim 0 of its payload and its rows."""
        precomputed = item.source is Source.PRECOMPUTED
        if grids is None:
            size = sum(part.shape[0] for part in parts)
            return [size], [size if precomputed else size * layout.rows_per_tile]
        patches = [t * h * w for t, h, w in grids]
        rows = [(h * w if layout.pools_frames else t * h * w) // layout.merge**2 for t, h, w in grids]
        return (rows if precomputed else patches), rows

    def divide_payload(self, item: Item, parts: tuple[Tensor, ...], sizes: list[int], where: str) -> Sequence[Payload]:
        entries = [part.shape[0] for part in parts]
        bundled_parts = isinstance(item.payload, tuple) and len(sizes) > 1
        if entries != sizes if bundled_parts else sum(entries) != sum(sizes):
            raise RowCountMismatch(f"a payload of {entries} entries, where {sizes} are due", where=where)
        if bundled_parts:
            return parts
        return (item.payload,) if len(sizes) == 1 else torch.split(parts[0], sizes)

    def check_sizes(self, sizes: list[int], where: str) -> None:
        if max(sizes) > self.most_patches:
            raise TooLarge(f"{max(sizes)} patches, where {self.most_patches} are allowed", where=where)

    def divide_spans(self, spans: tuple[Span, ...], rows: list[int], where: str) -> list[tuple[Span, ...]]:
        """Each image takes spans in the order in which they are listed, until exactly its rows are covered."""
        groups: list[tuple[Span, ...]] = []
        start = 0
        for count in rows:
            end = start
            while count > 0 and end < len(spans):
                count -= spans[end][1] - spans[end][0]
                end += 1
            if count:
                raise RowCountMismatch("an image's rows do not end where one of its spans ends", where=where)
            groups.append(spans[start:end])
            start = end
        if start < len(spans):
            raise RowCountMismatch(f"{len(spans) - start} spans are left over", where=where)
        return groups

    def check_extras(self, extras: Mapping[str, Extra], images: int, where: str) -> None:
        if not isinstance(extras, Mapping):
            raise BadExtra("extras are not a mapping", where=where)
        for name, extra in extras.items():
            if not isinstance(name, str) or not isinstance(extra, Extra):
                raise BadExtra("an extra is not a name with an Extra", where=where)
            if not isinstance(extra.per_image, bool) or not isinstance(extra.affects_rows, bool):
                raise BadExtra(f"extra {name!r}: affects_rows and per_image are bools", where=where)
            values = extra.value if extra.per_image else (extra.value,)
            if not isinstance(values, tuple) or (extra.per_image and len(values) != images):
                raise BadExtra(f"extra {name!r} is not a tuple of one value for each of {images} images", where=where)
            utf8(name, where)
            for value in values:
                if isinstance(value, str):
                    utf8(value, where)
                elif isinstance(value, int):
                    decimal(value, where)
                elif not isinstance(value, SCALARS) and (not isinstance(value, Tensor) or self.is_foreign(value)):
                    raise BadExtra(
                        f"extra {name!r}: {type(value).__name__}", where=where, hint="a scalar or a CPU tensor"
                    )

    def is_foreign(self, tensor: Tensor) -> bool:
        return bool(unusable(tensor)) or tensor.device.type != "cpu" or is_stretched(tensor)

    def extras_of(self, extras: Mapping[str, Extra], image: int) -> Mapping[str, Extra]:
        return {
            name: Extra(extra.value[image], extra.affects_rows)  # type: ignore[index]  # a tuple, as checked
            if extra.per_image
            else extra
            for name, extra in extras.items()
        }

    def check_given(self, given: tuple[CallerKey, ...], images: int, where: str) -> None:
        if not isinstance(given, tuple) or len(given) not in (0, images):
            raise BadExtra(f"caller keys are not a tuple of none or {images}", where=where)
        for key in given:
            if not (isinstance(key, CallerKey) and isinstance(key.trust, Trust)):
                raise BadExtra("a caller key is not a CallerKey with a Trust", where=where)
            if not (isinstance(key.tenant, str) and isinstance(key.key, str)):
                raise BadExtra("tenant and key of a caller key are strings", where=where)
