"""Faults of what items are: grids, payloads, sizes, tokens, extras and keys."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from plumbline.interface import (
    BadExtra,
    BadGrid,
    BadPayload,
    BadTokens,
    CallerKey,
    Extra,
    Item,
    Modality,
    PayloadMissing,
    Request,
    Source,
    TooLarge,
    TowerSpec,
    Trust,
)
from plumbline.malformed_fault import fault, first_grid, first_layout, has_features, plain_payload, with_first
from plumbline.scenario import ITEM_PATCHES


@fault("PREP-007", BadGrid)
def grid_of_floats(request: Request, spec: TowerSpec) -> Request | None:
    grid = first_grid(request)
    return with_first(request, grid_thw=grid.to(torch.float32)) if grid is not None else None


@fault("PREP-007", BadGrid)
def grid_of_int32(request: Request, spec: TowerSpec) -> Request | None:
    grid = first_grid(request)
    return with_first(request, grid_thw=grid.to(torch.int32)) if grid is not None else None


@fault("PREP-007", BadGrid)
def grid_of_rank_one(request: Request, spec: TowerSpec) -> Request | None:
    grid = first_grid(request)
    return with_first(request, grid_thw=grid[0]) if grid is not None else None


@fault("PREP-007", BadGrid)
def grid_with_zero(request: Request, spec: TowerSpec) -> Request | None:
    return _grid_entry(request, 0)


@fault("PREP-007", BadGrid)
def grid_negative(request: Request, spec: TowerSpec) -> Request | None:
    """Two negative entries, so that the product is right."""
    grid = first_grid(request)
    if grid is None:
        return None
    changed = grid.clone()
    changed[0, 1:] *= -1
    return with_first(request, grid_thw=changed)


@fault("PREP-007", BadGrid)
def grid_huge(request: Request, spec: TowerSpec) -> Request | None:
    return _grid_entry(request, 2**40)


@fault("PREP-007", BadGrid)
def grid_that_wraps(request: Request, spec: TowerSpec) -> Request | None:
    """Its product is 2^64 more than the right one, so in int64 it is the right one."""
    grid = first_grid(request)
    if grid is None:
        return None
    t, h, w = grid[0].tolist()
    if h * w % 4:
        return None
    changed = grid.clone()
    changed[0] = torch.tensor([t, h * w // 4 + 2**62, 4])
    return with_first(request, grid_thw=changed)


def _grid_entry(request: Request, value: int) -> Request | None:
    grid = first_grid(request)
    if grid is None:
        return None
    changed = grid.clone()
    changed[-1, 0] = value
    return with_first(request, grid_thw=changed)


@fault("PREP-007", BadGrid)
def grid_not_divisible(request: Request, spec: TowerSpec) -> Request | None:
    """Same number of patches, in an odd by odd-and-a-half shape."""
    grid, layout = first_grid(request), first_layout(request, spec)
    if grid is None or layout is None or layout.merge == 1 or not has_features(request):
        return None
    t, h, w = grid[0].tolist()
    changed = grid.clone()
    changed[0] = torch.tensor([t, 1, h * w])
    return with_first(request, grid_thw=changed)


@fault("PREP-007", BadGrid)
def grid_missing(request: Request, spec: TowerSpec) -> Request | None:
    return with_first(request, grid_thw=None) if first_grid(request) is not None and has_features(request) else None


@fault("PREP-007", BadGrid)
def grid_unexpected(request: Request, spec: TowerSpec) -> Request | None:
    layout = first_layout(request, spec)
    if layout is None or layout.has_grid:
        return None
    return with_first(request, grid_thw=torch.tensor([[1, 2, 2]]))


@fault("PREP-008", BadPayload)
def payload_of_another_dtype(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    return with_first(request, payload=payload.to(torch.complex64)) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_of_another_rank(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    return with_first(request, payload=payload.unsqueeze(-1)) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_of_another_width(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    return with_first(request, payload=torch.cat([payload, payload], dim=-1)) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_without_side_levels(request: Request, spec: TowerSpec) -> Request | None:
    """Rows of the hidden size alone, as encoders make them that know of no side levels."""
    payload = plain_payload(request)
    if payload is None or has_features(request) or not spec.side_levels:
        return None
    return with_first(request, payload=payload[:, : spec.hidden_size].contiguous())


@fault("PREP-008", BadPayload)
def payload_sparse(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    if payload is None or payload.dtype is not torch.float32:
        return None
    return with_first(request, payload=torch.ones(payload.shape).to_sparse())


@fault("PREP-008", BadPayload)
def payload_with_gradient(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    if payload is None or payload.dtype is not torch.float32:
        return None
    return with_first(request, payload=payload.clone().requires_grad_())


@fault("PREP-008", BadPayload)
def payload_on_meta(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    return with_first(request, payload=payload.to("meta")) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_freed(request: Request, spec: TowerSpec) -> Request | None:
    """As what shards weights or recycles buffers leaves a tensor: its shape without its memory."""
    payload = plain_payload(request)
    if payload is None or not payload.numel():
        return None
    freed = payload.clone()
    freed.untyped_storage().resize_(0)
    return with_first(request, payload=freed)


@fault("PREP-008", BadPayload)
def payload_not_a_tensor(request: Request, spec: TowerSpec) -> Request | None:
    payload = plain_payload(request)
    return with_first(request, payload=[[1.0, 2.0]]) if payload is not None else None


@fault("PREP-008", BadPayload)
def payload_of_mixed_dtypes(request: Request, spec: TowerSpec) -> Request | None:
    payload = request.items[0].payload if request.items else None
    if not isinstance(payload, tuple) or len(payload) < 2 or not has_features(request):
        return None
    assert isinstance(payload[0], Tensor)
    other = torch.float64 if payload[0].dtype is not torch.float64 else torch.float32
    return with_first(request, payload=(payload[0].to(other), *payload[1:]))


@fault("PREP-013", PayloadMissing)
def payload_none(request: Request, spec: TowerSpec) -> Request | None:
    return with_first(request, payload=None)


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
def video_too_large(request: Request, spec: TowerSpec) -> Request | None:
    """Each of its frames is within the budget, together they are not."""
    layout = first_layout(request, spec)
    if layout is None or not layout.has_grid or request.items[0].modality is not Modality.VIDEO:
        return None
    side = layout.merge
    frames = ITEM_PATCHES // side**2 + 1
    rows = frames if not layout.pools_frames else 1
    payload = torch.zeros(frames * side**2, *layout.patch_shape)
    grid = torch.tensor([[frames, side, side]])
    item = Item(Modality.VIDEO, Source.PIXELS, payload, ((0, rows),), grid)
    return Request(request.request_id, torch.full((rows,), layout.placeholder_id), (item,))


@fault("PREP-010", TooLarge)
def too_many_rows(request: Request, spec: TowerSpec) -> Request | None:
    """Precomputed ones, of an item that has some already."""
    payload, layout = plain_payload(request), first_layout(request, spec)
    if payload is None or layout is None or has_features(request):
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
def tokens_of_terabytes(request: Request, spec: TowerSpec) -> Request | None:
    """Of one stored id, by a stride of 0."""
    return dataclasses.replace(request, token_ids=torch.ones(1, dtype=torch.int64).expand(2**40), items=())


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
    return with_first(request, extras={"odd": Extra(object(), True)})


@fault("PREP-015", BadExtra)
def extra_of_half_a_character(request: Request, spec: TowerSpec) -> Request | None:
    return with_first(request, extras={"note": Extra(HALF, True)})


@fault("PREP-015", BadExtra)
def extra_beside_the_rows_of_half_a_character(request: Request, spec: TowerSpec) -> Request | None:
    """No identity is made of it, but it travels."""
    return with_first(request, extras={"note": Extra(HALF, False)})


@fault("PREP-015", BadExtra)
def extra_named_with_half_a_character(request: Request, spec: TowerSpec) -> Request | None:
    return with_first(request, extras={HALF: Extra(1, False)})


@fault("PREP-027", BadExtra)
def key_of_half_a_character(request: Request, spec: TowerSpec) -> Request | None:
    return _with_keys(request, CallerKey("t", HALF, Trust.TRUSTED))


@fault("PREP-027", BadExtra)
def tenant_of_half_a_character(request: Request, spec: TowerSpec) -> Request | None:
    return _with_keys(request, CallerKey(HALF, "k", Trust.VERIFIED))


HALF = "\ud83d"
"""What a cut between the two words of an emoji leaves: no UTF-8 stands for it."""


def _with_keys(request: Request, key: CallerKey) -> Request | None:
    return with_first(request, given=(key,) * _images(request))


def _images(request: Request) -> int:
    grid = first_grid(request)
    return 1 if grid is None else len(grid)


@fault("PREP-015", BadExtra)
def extra_of_terabytes(request: Request, spec: TowerSpec) -> Request | None:
    """Of one stored number, by a stride of 0."""
    return with_first(request, extras={"map": Extra(torch.zeros(1).expand(2**40), True)})


@fault("PREP-015", BadExtra)
def extra_per_image_too_short(request: Request, spec: TowerSpec) -> Request | None:
    return with_first(request, extras={"fps": Extra((), True, per_image=True)})


@fault("PREP-027", BadExtra)
def more_keys_than_images(request: Request, spec: TowerSpec) -> Request | None:
    return with_first(request, given=(CallerKey("t", "k", Trust.VERIFIED),) * (_images(request) + 1))
