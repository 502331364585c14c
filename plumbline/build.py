"""Recipes into requests: real tensors, with the strides, bundles, extras and caller keys that a recipe asks for."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from plumbline import closed_form
from plumbline.interface import CallerKey, Extra, Item, Modality, Request, Source, Trust
from plumbline.scenario import ITEMSIZE, ItemRecipe, RequestRecipe, TowerRecipe

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_SIGNED = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def tensor_of_bits(bits: tuple[tuple[int, ...], ...], width: int, dtype: str) -> Tensor:
    """[len(bits), width] of ``dtype`` with exactly these bit patterns."""
    size = ITEMSIZE[dtype]
    array = np.array(bits, dtype=_UNSIGNED[size]).reshape(len(bits), width)
    signed = array.view(array.dtype.name.removeprefix("u")) if size > 1 else array
    return torch.from_numpy(signed.copy()).view(getattr(torch, dtype))


def bits_of(tensor: Tensor) -> Tensor:
    """The same elements as integers, so that NaN equals NaN and -0.0 differs from 0.0. Of 16 bytes, two each."""
    return tensor.resolve_conj().resolve_neg().contiguous().view(_SIGNED.get(tensor.element_size(), torch.int64))


def with_strides(tensor: Tensor, strides: str) -> Tensor:
    """The same values in another memory layout."""
    if strides == "columns":
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if strides == "gaps":
        shape = (*tensor.shape[:-1], 2 * tensor.shape[-1] + 1)
        wide = torch.full(shape, 7, dtype=torch.uint8, device=tensor.device).to(tensor.dtype)
        view = wide[..., 1 : 1 + 2 * tensor.shape[-1] : 2]
        view.copy_(tensor)
        return view
    if strides == "offset":
        longer = torch.cat([tensor[:1], tensor, tensor[:1]]) if len(tensor) else tensor
        return longer[1 : 1 + len(tensor)]
    if strides == "odd" and len(tensor) == 1:
        return tensor.as_strided(tensor.shape, (tensor.numel() + 5, *tensor.stride()[1:]))
    if strides == "odd byte" and tensor.element_size() == 1 and tensor.numel():
        flat = tensor.flatten()
        return torch.cat([flat[:1], flat])[1:].view(tensor.shape)
    if strides == "conjugate" and tensor.is_complex():
        return tensor.conj().resolve_conj().conj()
    if strides == "negative" and tensor.dtype is torch.float64:
        return torch.complex(tensor, -tensor).conj().imag
    return tensor


def payload_of(tower: TowerRecipe, item: ItemRecipe) -> tuple[Tensor, ...]:
    """The item's payload tensors, contiguous."""
    width = closed_form.patch_width(tower, item)
    whole = tensor_of_bits(closed_form.bits(tower, item), width, item.dtype)
    if item.source != "precomputed":
        whole = whole.reshape(len(whole), *tower.patch_shape)
    return torch.split(whole, list(item.parts)) if item.parts else ()


Shared = dict[ItemRecipe, tuple[Tensor, ...]]
"""Payload tensors of items that were built, for those that are sent again."""


def build_item(
    tower: TowerRecipe, item: ItemRecipe, spans: tuple[tuple[int, int], ...], shared: Shared | None = None
) -> Item:
    """shared: equal recipes get the same tensors."""
    parts = tuple(with_strides(p.clone(), item.strides) for p in payload_of(tower, item))
    if shared is not None:
        parts = shared.setdefault(item, parts)
    extras = {e.name: Extra(_extra_value(e.value), e.affects_rows) for e in item.extras}
    return Item(
        modality=Modality(item.modality),
        source=Source(item.source),
        payload=parts[0] if len(parts) == 1 else parts,
        spans=spans,
        grid_thw=torch.tensor([item.grid], dtype=torch.int64) if item.grid else None,
        extras=extras if item.strides == "contiguous" else MappingProxyType(extras),
        given=(_given(item),) if item.given else (),
    )


def _extra_value(value: object) -> object:
    return torch.tensor(value, dtype=torch.int64) if isinstance(value, tuple) else value


def _given(item: ItemRecipe) -> CallerKey:
    assert item.given
    return CallerKey(item.given.tenant, item.given.key, Trust.TRUSTED if item.given.trusted else Trust.VERIFIED)


def listed(request: RequestRecipe) -> tuple[int, ...]:
    """Indices of the recipe's items in the order in which the request lists them."""
    count = len(request.items)
    return tuple((k + request.listing) % count for k in range(count)) if count else ()


def build_request(tower: TowerRecipe, request: RequestRecipe, shared: Shared | None = None) -> Request:
    """A request, its items in listing order, neighbours bundled where the recipe says so and they can be."""
    prompt = closed_form.lay_out(tower, request)
    items: list[Item] = []
    run: list[int] = []
    for index in listed(request):
        if run and not (request.bundle and _can_share(request.items[run[-1]], request.items[index])):
            items.append(_bundle(tower, request, run, prompt.spans, shared))
            run = []
        run.append(index)
    if run:
        items.append(_bundle(tower, request, run, prompt.spans, shared))
    return Request(request.name, torch.tensor(prompt.token_ids, dtype=torch.int64), tuple(items))


def _can_share(a: ItemRecipe, b: ItemRecipe) -> bool:
    """Whether two items may be images of one bundle: grids, one payload tensor each, the same kind of everything."""

    def kind(item: ItemRecipe) -> tuple[object, ...]:
        names = tuple((e.name, e.affects_rows) for e in item.extras)
        return item.modality, item.source, item.dtype, names, item.given is None

    return bool(a.grid and b.grid) and len(a.parts) == len(b.parts) == 1 and kind(a) == kind(b)


def _bundle(
    tower: TowerRecipe,
    request: RequestRecipe,
    run: list[int],
    spans: tuple[tuple[tuple[int, int], ...], ...],
    shared: Shared | None,
) -> Item:
    if len(run) == 1 and not (request.bundle and _can_share(request.items[run[0]], request.items[run[0]])):
        return build_item(tower, request.items[run[0]], spans[run[0]], shared)
    members = [request.items[i] for i in run]
    first = members[0]
    payloads = [payload_of(tower, m)[0] for m in members]
    apart = first.strides == "columns"
    extras = {
        e.name: Extra(tuple(_extra_value(m.extras[k].value) for m in members), e.affects_rows, per_image=True)
        for k, e in enumerate(first.extras)
    }
    return Item(
        modality=Modality(first.modality),
        source=Source(first.source),
        payload=tuple(p.clone() for p in payloads) if apart else with_strides(torch.cat(payloads), first.strides),
        spans=tuple(span for i in run for span in spans[i]),
        grid_thw=with_strides(torch.tensor([m.grid for m in members], dtype=torch.int64), first.strides),
        extras=extras,
        given=tuple(_given(m) for m in members) if first.given else (),
    )
