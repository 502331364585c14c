"""Faults of where items lie: spans, placeholders, and how many rows there are."""

from __future__ import annotations

import dataclasses

import torch

from plumbline.interface import BadPayload, BadSpans, Item, Request, RowCountMismatch, Source, TowerSpec
from plumbline.malformed_fault import (
    fault,
    first_grid,
    first_layout,
    first_spans,
    has_features,
    plain_payload,
    with_first,
)


@fault("ITEM-006", BadSpans)
def span_beyond_the_prompt(request: Request, spec: TowerSpec) -> Request | None:
    spans, n = first_spans(request), len(request.token_ids)
    if not spans:
        return None
    length = spans[-1][1] - spans[-1][0]
    return with_first(request, spans=(*spans[:-1], (n, n + length)))


@fault("ITEM-006", BadSpans)
def span_one_beyond_the_prompt(request: Request, spec: TowerSpec) -> Request | None:
    """The prompt is cut one token before the item ends."""
    spans = first_spans(request)
    if (
        not spans
        or spans[-1][1] - spans[-1][0] < 2
        or any(hi > spans[-1][1] for i in request.items for _, hi in i.spans)
    ):
        return None
    return dataclasses.replace(request, token_ids=request.token_ids[: spans[-1][1] - 1])


@fault("ITEM-006", BadSpans)
def span_negative(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    return (
        with_first(request, spans=((spans[0][0] - len(request.token_ids), spans[0][1]), *spans[1:])) if spans else None
    )


@fault("ITEM-006", BadSpans)
def span_one_before_the_prompt(request: Request, spec: TowerSpec) -> Request | None:
    """The prompt is cut so that the item begins one token before it."""
    spans = first_spans(request)
    start = spans[0][0] + 1 if spans else 0
    if not spans or spans[0][1] - spans[0][0] < 2 or any(lo < start - 1 for i in request.items for lo, _ in i.spans):
        return None
    items = tuple(
        dataclasses.replace(item, spans=tuple((lo - start, hi - start) for lo, hi in item.spans))
        for item in request.items
    )
    return dataclasses.replace(request, token_ids=request.token_ids[start:], items=items)


@fault("ITEM-006", BadSpans)
def span_reversed(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    return with_first(request, spans=((spans[0][1], spans[0][0]), *spans[1:])) if spans else None


@fault("ITEM-006", BadSpans)
def span_empty(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    return with_first(request, spans=(*spans, (spans[0][0], spans[0][0]))) if spans else None


@fault("ITEM-006", BadSpans, RowCountMismatch)
def span_twice(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    return with_first(request, spans=(*spans, spans[0])) if spans else None


@fault("ITEM-006", BadSpans)
def spans_of_two_items_overlap(request: Request, spec: TowerSpec) -> Request | None:
    """The second item claims the first item's positions; its own become text, so that only the overlap is wrong."""
    same = [i for i in request.items if i.spans and i.modality is request.items[0].modality]
    if len(same) < 2 or request.items[0] is not same[0]:
        return None
    lengths = [[hi - lo for lo, hi in i.spans] for i in same[:2]]
    if lengths[0] != lengths[1]:
        return None
    ids = request.token_ids.clone()
    for lo, hi in same[1].spans:
        ids[lo:hi] = 0
    items = tuple(dataclasses.replace(i, spans=same[0].spans) if i is same[1] else i for i in request.items)
    return dataclasses.replace(request, token_ids=ids, items=items)


@fault("ITEM-006", BadSpans)
def spans_overlap_partly(request: Request, spec: TowerSpec) -> Request | None:
    """Two equal images whose spans share some positions; every position is a placeholder, so nothing else is wrong."""
    layout = next(iter(spec.layouts.values()))
    patches = 4 * layout.merge**2 if layout.has_grid else 4
    rows = 4 if layout.has_grid else 4 * layout.rows_per_tile
    grid = torch.tensor([[1, layout.merge, 4 * layout.merge]]) if layout.has_grid else None
    modality = next(iter(spec.layouts))
    payload = torch.zeros(patches, *layout.patch_shape)
    spans = [(0, rows), (rows - 2, 2 * rows - 2)]
    items = tuple(Item(modality, Source.PIXELS, payload, (span,), grid) for span in spans)
    return Request(request.request_id, torch.full((2 * rows - 2,), layout.placeholder_id), items)


@fault("ITEM-006", BadSpans)
def spans_not_integers(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    return with_first(request, spans=((float(spans[0][0]), float(spans[0][1])), *spans[1:])) if spans else None


@fault("ITEM-007", BadSpans)
def placeholder_without_item(request: Request, spec: TowerSpec) -> Request | None:
    placeholder = next(iter(spec.layouts.values())).placeholder_id
    return dataclasses.replace(request, token_ids=torch.cat([request.token_ids, torch.tensor([placeholder])]))


@fault("ITEM-007", BadSpans)
def span_over_text(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    if not spans:
        return None
    ids = request.token_ids.clone()
    ids[spans[0][1] - 1] = 0
    return dataclasses.replace(request, token_ids=ids)


@fault("ITEM-007", BadSpans)
def span_shifted(request: Request, spec: TowerSpec) -> Request | None:
    """As many positions as before: a word at one end, and at the other a placeholder of nobody."""
    spans = first_spans(request)
    ids = {layout.placeholder_id for layout in spec.layouts.values()}
    if not spans or not spans[0][0] or int(request.token_ids[spans[0][0] - 1]) in ids:
        return None
    return with_first(request, spans=((spans[0][0] - 1, spans[0][1] - 1), *spans[1:]))


@fault("ITEM-007", BadSpans)
def span_over_the_placeholder_of_another_modality(request: Request, spec: TowerSpec) -> Request | None:
    spans, layout = first_spans(request), first_layout(request, spec)
    others = {one.placeholder_id for one in spec.layouts.values()} - {layout.placeholder_id if layout else None}
    if not spans or not others:
        return None
    ids = request.token_ids.clone()
    ids[spans[0][0] : spans[0][1]] = min(others)
    return dataclasses.replace(request, token_ids=ids)


@fault("ITEM-002", RowCountMismatch)
def one_position_too_few(request: Request, spec: TowerSpec) -> Request | None:
    spans = first_spans(request)
    if not spans or spans[-1][1] - spans[-1][0] < 2:
        return None
    lo, hi = spans[-1]
    ids = request.token_ids.clone()
    ids[hi - 1] = 0
    broken = dataclasses.replace(request, token_ids=ids)
    return with_first(broken, spans=(*spans[:-1], (lo, hi - 1)))


@fault("ITEM-002", RowCountMismatch)
def one_position_too_many(request: Request, spec: TowerSpec) -> Request | None:
    spans, layout = first_spans(request), first_layout(request, spec)
    if not spans or layout is None:
        return None
    n = len(request.token_ids)
    broken = dataclasses.replace(
        request, token_ids=torch.cat([request.token_ids, torch.tensor([layout.placeholder_id])])
    )
    return with_first(broken, spans=(*spans, (n, n + 1)))


@fault("ITEM-002", RowCountMismatch, BadPayload)
def payload_one_entry_short(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    return with_first(request, payload=payload[:-1]) if payload is not None and len(payload) > 1 else None


@fault("ITEM-002", RowCountMismatch)
def tensors_of_a_bundle_cut_elsewhere(request: Request, spec: TowerSpec) -> Request | None:
    """One tensor for each image, as large as all of them together, but the first one has an entry of the second."""
    payload, grid, layout = plain_payload(request), first_grid(request), first_layout(request, spec)
    if payload is None or grid is None or layout is None or len(grid) < 2:
        return None
    frames, height, width = grid[0].tolist()
    rows = (1 if layout.pools_frames else frames) * height * width // layout.merge**2
    entries = frames * height * width if has_features(request) else rows
    sizes = [entries + 1, *[1] * (len(grid) - 2)]
    sizes.append(len(payload) - sum(sizes))
    return with_first(request, payload=tuple(torch.split(payload, sizes))) if sizes[-1] > 0 else None
