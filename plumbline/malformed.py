"""Ways to break a valid request, each with the requirement that refuses it and the error class that it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from plumbline.interface import (
    BadExtra,
    BadGrid,
    BadPayload,
    BadSpans,
    BadTokens,
    CallerKey,
    Extra,
    Item,
    Layout,
    PayloadMissing,
    PlumblineError,
    Request,
    RowCountMismatch,
    Source,
    TooLarge,
    TowerSpec,
    Trust,
)
from plumbline.scenario import ITEM_PATCHES


@dataclass(frozen=True)
class Fault:
    """apply: the broken request, or None where it does not apply."""

    requirement: str
    errors: tuple[type[PlumblineError], ...]
    apply: Callable[[Request, TowerSpec], Request | None]


FAULTS: dict[str, Fault] = {}


def fault(
    requirement: str, *errors: type[PlumblineError]
) -> Callable[[Callable[[Request, TowerSpec], Request | None]], Callable[[Request, TowerSpec], Request | None]]:
    def register(function: Callable[[Request, TowerSpec], Request | None]) -> Callable[..., Request | None]:
        FAULTS[function.__name__] = Fault(requirement, errors, function)
        return function

    return register


def break_request(request: Request, name: str, spec: TowerSpec, at: int = 0) -> Request | None:
    """The request with the fault in its item ``at``, counted around; None where the fault does not apply."""
    count = len(request.items)
    shift = at % count if count else 0
    rotated = dataclasses.replace(request, items=request.items[shift:] + request.items[:shift])
    broken = FAULTS[name].apply(rotated, spec)
    if broken is None or len(broken.items) != count:
        return broken
    return dataclasses.replace(broken, items=broken.items[count - shift :] + broken.items[: count - shift])


def next_applicable(
    request: Request, name: str, spec: TowerSpec, at: int, allowed: Callable[[str], bool]
) -> tuple[str, Request] | None:
    """The first fault from ``name`` on that applies to the request, and the broken request."""
    names = list(FAULTS)
    start = names.index(name)
    for candidate in names[start:] + names[:start]:
        broken = break_request(request, candidate, spec, at) if allowed(candidate) else None
        if broken is not None:
            return candidate, broken
    return None


def _first(request: Request, **changes: object) -> Request | None:
    if not request.items:
        return None
    item = dataclasses.replace(request.items[0], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(request, items=(item, *request.items[1:]))


def _plain(request: Request) -> Tensor | None:
    """The first item's payload, where it is one tensor with elements."""
    payload = request.items[0].payload if request.items else None
    return payload if isinstance(payload, Tensor) and payload.numel() else None


def _spans(request: Request) -> tuple[tuple[int, int], ...]:
    return request.items[0].spans if request.items else ()


def _layout(request: Request, spec: TowerSpec) -> Layout | None:
    return spec.layouts[request.items[0].modality] if request.items else None


def _features(request: Request) -> bool:
    return bool(request.items) and request.items[0].source is not Source.PRECOMPUTED


@fault("ITEM-006", BadSpans)
def span_beyond_the_prompt(request: Request, spec: TowerSpec) -> Request | None:
    spans, n = _spans(request), len(request.token_ids)
    if not spans:
        return None
    length = spans[-1][1] - spans[-1][0]
    return _first(request, spans=(*spans[:-1], (n, n + length)))


@fault("ITEM-006", BadSpans)
def span_one_beyond_the_prompt(request: Request, spec: TowerSpec) -> Request | None:
    """The prompt is cut one token before the item ends."""
    spans = _spans(request)
    if (
        not spans
        or spans[-1][1] - spans[-1][0] < 2
        or any(hi > spans[-1][1] for i in request.items for _, hi in i.spans)
    ):
        return None
    return dataclasses.replace(request, token_ids=request.token_ids[: spans[-1][1] - 1])


@fault("ITEM-006", BadSpans)
def span_negative(request: Request, spec: TowerSpec) -> Request | None:
    spans = _spans(request)
    return _first(request, spans=((spans[0][0] - len(request.token_ids), spans[0][1]), *spans[1:])) if spans else None


@fault("ITEM-006", BadSpans)
def span_reversed(request: Request, spec: TowerSpec) -> Request | None:
    spans = _spans(request)
    return _first(request, spans=((spans[0][1], spans[0][0]), *spans[1:])) if spans else None


@fault("ITEM-006", BadSpans)
def span_empty(request: Request, spec: TowerSpec) -> Request | None:
    spans = _spans(request)
    return _first(request, spans=(*spans, (spans[0][0], spans[0][0]))) if spans else None


@fault("ITEM-006", BadSpans, RowCountMismatch)
def span_twice(request: Request, spec: TowerSpec) -> Request | None:
    spans = _spans(request)
    return _first(request, spans=(*spans, spans[0])) if spans else None


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
    spans = _spans(request)
    return _first(request, spans=((float(spans[0][0]), float(spans[0][1])), *spans[1:])) if spans else None


@fault("ITEM-007", BadSpans)
def placeholder_without_item(request: Request, spec: TowerSpec) -> Request | None:
    placeholder = next(iter(spec.layouts.values())).placeholder_id
    return dataclasses.replace(request, token_ids=torch.cat([request.token_ids, torch.tensor([placeholder])]))


@fault("ITEM-007", BadSpans)
def span_over_text(request: Request, spec: TowerSpec) -> Request | None:
    spans = _spans(request)
    if not spans:
        return None
    ids = request.token_ids.clone()
    ids[spans[0][1] - 1] = 0
    return dataclasses.replace(request, token_ids=ids)


@fault("ITEM-007", BadSpans)
def span_shifted(request: Request, spec: TowerSpec) -> Request | None:
    """As many positions as before: a word at one end, and at the other a placeholder of nobody."""
    spans = _spans(request)
    ids = {layout.placeholder_id for layout in spec.layouts.values()}
    if not spans or not spans[0][0] or int(request.token_ids[spans[0][0] - 1]) in ids:
        return None
    return _first(request, spans=((spans[0][0] - 1, spans[0][1] - 1), *spans[1:]))


@fault("ITEM-007", BadSpans)
def span_over_the_placeholder_of_another_modality(request: Request, spec: TowerSpec) -> Request | None:
    spans, layout = _spans(request), _layout(request, spec)
    others = {one.placeholder_id for one in spec.layouts.values()} - {layout.placeholder_id if layout else None}
    if not spans or not others:
        return None
    ids = request.token_ids.clone()
    ids[spans[0][0] : spans[0][1]] = min(others)
    return dataclasses.replace(request, token_ids=ids)


@fault("ITEM-002", RowCountMismatch)
def one_position_too_few(request: Request, spec: TowerSpec) -> Request | None:
    spans = _spans(request)
    if not spans or spans[-1][1] - spans[-1][0] < 2:
        return None
    lo, hi = spans[-1]
    ids = request.token_ids.clone()
    ids[hi - 1] = 0
    broken = dataclasses.replace(request, token_ids=ids)
    return _first(broken, spans=(*spans[:-1], (lo, hi - 1)))


@fault("ITEM-002", RowCountMismatch)
def one_position_too_many(request: Request, spec: TowerSpec) -> Request | None:
    spans, layout = _spans(request), _layout(request, spec)
    if not spans or layout is None:
        return None
    n = len(request.token_ids)
    broken = dataclasses.replace(
        request, token_ids=torch.cat([request.token_ids, torch.tensor([layout.placeholder_id])])
    )
    return _first(broken, spans=(*spans, (n, n + 1)))


@fault("ITEM-002", RowCountMismatch, BadPayload)
def payload_one_entry_short(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    return _first(request, payload=payload[:-1]) if payload is not None and len(payload) > 1 else None


@fault("ITEM-002", RowCountMismatch)
def tensors_of_a_bundle_cut_elsewhere(request: Request, spec: TowerSpec) -> Request | None:
    """One tensor for each image, as large as all of them together, but the first one has an entry of the second."""
    payload, grid = _plain(request), _grid(request)
    if payload is None or grid is None or len(grid) < 2:
        return None
    entries = int(grid[0].prod()) if _features(request) else sum(hi - lo for lo, hi in _spans(request)[:1])
    sizes = [entries + 1, *[1] * (len(grid) - 2)]
    sizes.append(len(payload) - sum(sizes))
    return _first(request, payload=tuple(torch.split(payload, sizes))) if sizes[-1] > 0 else None


def _grid(request: Request) -> Tensor | None:
    return request.items[0].grid_thw if request.items else None


@fault("PREP-007", BadGrid)
def grid_of_floats(request: Request, spec: TowerSpec) -> Request | None:
    grid = _grid(request)
    return _first(request, grid_thw=grid.to(torch.float32)) if grid is not None else None


@fault("PREP-007", BadGrid)
def grid_of_int32(request: Request, spec: TowerSpec) -> Request | None:
    grid = _grid(request)
    return _first(request, grid_thw=grid.to(torch.int32)) if grid is not None else None


@fault("PREP-007", BadGrid)
def grid_of_rank_one(request: Request, spec: TowerSpec) -> Request | None:
    grid = _grid(request)
    return _first(request, grid_thw=grid[0]) if grid is not None else None


@fault("PREP-007", BadGrid)
def grid_with_zero(request: Request, spec: TowerSpec) -> Request | None:
    return _grid_entry(request, 0)


@fault("PREP-007", BadGrid)
def grid_negative(request: Request, spec: TowerSpec) -> Request | None:
    """Two negative entries, so that the product is right."""
    grid = _grid(request)
    if grid is None:
        return None
    changed = grid.clone()
    changed[0, 1:] *= -1
    return _first(request, grid_thw=changed)


@fault("PREP-007", BadGrid)
def grid_huge(request: Request, spec: TowerSpec) -> Request | None:
    return _grid_entry(request, 2**40)


@fault("PREP-007", BadGrid)
def grid_that_wraps(request: Request, spec: TowerSpec) -> Request | None:
    """Its product is 2^64 more than the right one, so in int64 it is the right one."""
    grid = _grid(request)
    if grid is None:
        return None
    t, h, w = grid[0].tolist()
    if h * w % 4:
        return None
    changed = grid.clone()
    changed[0] = torch.tensor([t, h * w // 4 + 2**62, 4])
    return _first(request, grid_thw=changed)


def _grid_entry(request: Request, value: int) -> Request | None:
    grid = _grid(request)
    if grid is None:
        return None
    changed = grid.clone()
    changed[-1, 0] = value
    return _first(request, grid_thw=changed)


@fault("PREP-007", BadGrid)
def grid_not_divisible(request: Request, spec: TowerSpec) -> Request | None:
    """Same number of patches, in an odd by odd-and-a-half shape."""
    grid, layout = _grid(request), _layout(request, spec)
    if grid is None or layout is None or layout.merge == 1 or not _features(request):
        return None
    t, h, w = grid[0].tolist()
    changed = grid.clone()
    changed[0] = torch.tensor([t, 1, h * w])
    return _first(request, grid_thw=changed)


@fault("PREP-007", BadGrid)
def grid_missing(request: Request, spec: TowerSpec) -> Request | None:
    return _first(request, grid_thw=None) if _grid(request) is not None and _features(request) else None


@fault("PREP-007", BadGrid)
def grid_unexpected(request: Request, spec: TowerSpec) -> Request | None:
    layout = _layout(request, spec)
    if layout is None or layout.has_grid:
        return None
    return _first(request, grid_thw=torch.tensor([[1, 2, 2]]))


@fault("PREP-008", BadPayload)
def payload_of_another_dtype(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    return _first(request, payload=payload.to(torch.complex64)) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_of_another_rank(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    return _first(request, payload=payload.unsqueeze(-1)) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_of_another_width(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    return _first(request, payload=torch.cat([payload, payload], dim=-1)) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_sparse(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    if payload is None or payload.dtype is not torch.float32:
        return None
    return _first(request, payload=torch.ones(payload.shape).to_sparse())


@fault("PREP-008", BadPayload)
def payload_with_gradient(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    if payload is None or payload.dtype is not torch.float32:
        return None
    return _first(request, payload=payload.clone().requires_grad_())


@fault("PREP-008", BadPayload)
def payload_on_meta(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    return _first(request, payload=payload.to("meta")) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_not_a_tensor(request: Request, spec: TowerSpec) -> Request | None:
    payload = _plain(request)
    return _first(request, payload=[[1.0, 2.0]]) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_of_mixed_dtypes(request: Request, spec: TowerSpec) -> Request | None:
    payload = request.items[0].payload if request.items else None
    if not isinstance(payload, tuple) or len(payload) < 2 or not _features(request):
        return None
    assert isinstance(payload[0], Tensor)
    other = torch.float64 if payload[0].dtype is not torch.float64 else torch.float32
    return _first(request, payload=(payload[0].to(other), *payload[1:]))


@fault("PREP-013", PayloadMissing)
def payload_none(request: Request, spec: TowerSpec) -> Request | None:
    return _first(request, payload=None)


@fault("PREP-010", TooLarge)
def item_too_large(request: Request, spec: TowerSpec) -> Request | None:
    """A well-formed image of more patches than the budget for one item, alone in its request."""
    modality = next(iter(spec.layouts))
    layout = spec.layouts[modality]
    side = layout.merge
    patches = ITEM_PATCHES + side * side
    patches -= patches % (side * side)
    rows = patches // side**2 if layout.has_grid else patches * layout.rows_per_tile
    item = Item(
        modality,
        Source.PIXELS,
        torch.zeros(patches, *layout.patch_shape),
        ((0, rows),),
        torch.tensor([[1, side, patches // side]]) if layout.has_grid else None,
    )
    return Request(request.request_id, torch.full((rows,), layout.placeholder_id), (item,))


@fault("PREP-010", TooLarge)
def too_many_rows(request: Request, spec: TowerSpec) -> Request | None:
    """Precomputed ones, of an item that has some already."""
    payload, layout = _plain(request), _layout(request, spec)
    if payload is None or layout is None or _features(request):
        return None
    rows = ITEM_PATCHES + 1
    item = Item(
        request.items[0].modality, Source.PRECOMPUTED, payload[:1].expand(rows, *payload.shape[1:]), ((0, rows),)
    )
    return Request(request.request_id, torch.full((rows,), layout.placeholder_id), (item,))


@fault("PREP-010", TooLarge)
def second_image_of_a_bundle_too_large(request: Request, spec: TowerSpec) -> Request | None:
    large = item_too_large(request, spec)
    modality, layout = next(iter(spec.layouts.items()))
    if large is None or not layout.has_grid:
        return None
    item, side = large.items[0], layout.merge
    small = torch.zeros(side * side, *layout.patch_shape)
    assert isinstance(item.payload, Tensor)
    assert item.grid_thw is not None
    spans = ((0, 1), *((lo + 1, hi + 1) for lo, hi in item.spans))
    grids = torch.cat([torch.tensor([[1, side, side]]), item.grid_thw])
    bundle = Item(modality, Source.PIXELS, torch.cat([small, item.payload]), spans, grids)
    ids = torch.full((len(large.token_ids) + 1,), layout.placeholder_id)
    return Request(request.request_id, ids, (bundle,))


@fault("PREP-014", BadTokens)
def tokens_of_floats(request: Request, spec: TowerSpec) -> Request | None:
    return dataclasses.replace(request, token_ids=request.token_ids.to(torch.float32))


@fault("PREP-014", BadTokens)
def tokens_of_rank_two(request: Request, spec: TowerSpec) -> Request | None:
    return dataclasses.replace(request, token_ids=request.token_ids[None])


@fault("PREP-014", BadTokens)
def tokens_in_a_list(request: Request, spec: TowerSpec) -> Request | None:
    return dataclasses.replace(request, token_ids=request.token_ids.tolist())  # type: ignore[arg-type]


@fault("PREP-014", BadTokens)
def no_tokens(request: Request, spec: TowerSpec) -> Request | None:
    return dataclasses.replace(request, token_ids=request.token_ids[:0], items=())


@fault("PREP-014", BadTokens)
def token_beyond_the_vocabulary(request: Request, spec: TowerSpec) -> Request | None:
    return dataclasses.replace(request, token_ids=torch.cat([request.token_ids, torch.tensor([2**31 + 5])]))


@fault("PREP-014", BadTokens)
def token_at_the_end_of_the_vocabulary(request: Request, spec: TowerSpec) -> Request | None:
    """The first id that is none. Not where a modality's placeholder has it."""
    if any(layout.placeholder_id == spec.vocab_size for layout in spec.layouts.values()):
        return None
    return dataclasses.replace(request, token_ids=torch.cat([request.token_ids, torch.tensor([spec.vocab_size])]))


@fault("PREP-014", BadTokens)
def token_negative(request: Request, spec: TowerSpec) -> Request | None:
    return dataclasses.replace(request, token_ids=torch.cat([request.token_ids, torch.tensor([-1])]))


@fault("PREP-015", BadExtra)
def extra_of_another_type(request: Request, spec: TowerSpec) -> Request | None:
    return _first(request, extras={"odd": Extra(object(), True)})


@fault("PREP-015", BadExtra)
def extra_per_image_too_short(request: Request, spec: TowerSpec) -> Request | None:
    return _first(request, extras={"fps": Extra((), True, per_image=True)})


@fault("PREP-015", BadExtra)
def more_keys_than_images(request: Request, spec: TowerSpec) -> Request | None:
    count = 1 if _grid(request) is None else len(request.items[0].grid_thw)  # type: ignore[arg-type]
    return _first(request, given=(CallerKey("t", "k", Trust.VERIFIED),) * (count + 1))
