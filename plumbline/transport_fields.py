"""Compares what was published with what was received, field by field and bit for bit."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import Extra, Feature, Identity, Item, Payload, Prepared


def parts_of(payload: Payload) -> list[Tensor | Feature]:
    """The parts of a payload, none of what was left out."""
    if payload is None:
        return []
    return list(payload) if isinstance(payload, tuple) else [payload]


def difference(sent: Prepared, got: object, held: frozenset[Identity] = frozenset()) -> str:
    """The first field that did not survive; empty if all did. Payloads are compared by their metadata only."""
    if not isinstance(got, Prepared):
        return f"a {type(got).__name__} came, not a Prepared"
    for name in ("request_id", "token_ids", "identities", "prefix_keys"):
        if not same(getattr(sent, name), getattr(got, name)):
            return name
    if type(got.items) is not tuple or len(got.items) != len(sent.items):
        return "items"
    for k, (a, b) in enumerate(zip(sent.items, got.items, strict=True)):
        for f in dataclasses.fields(Item):
            there, here = getattr(a, f.name), getattr(b, f.name)
            if f.name == "payload":
                problem = payload_difference(None if sent.identities[k] in held else there, here)
                if problem:
                    return f"item {k}: {problem}"
            elif not same(there, here):
                return f"item {k}: {f.name}"
    return ""


def payload_difference(sent: Payload, got: Payload) -> str:
    if (sent is None) != (got is None):
        return "payload is there, and was to stay away" if sent is None else "payload is missing"
    if isinstance(sent, tuple) != isinstance(got, tuple) or len(parts_of(sent)) != len(parts_of(got)):
        return "division of the payload"
    for a, b in zip(parts_of(sent), parts_of(got), strict=True):
        assert isinstance(a, Tensor)
        meta = b if isinstance(b, Tensor) else b.meta
        size = b.numel() * b.element_size() if isinstance(b, Tensor) else b.meta.nbytes
        if (tuple(meta.shape), meta.dtype, size) != (tuple(a.shape), a.dtype, a.numel() * a.element_size()):
            return "shape, dtype or size of the payload"
    return ""


def same(a: object, b: object) -> bool:
    """Equal in type and in every bit; tensors on the same device, whatever their strides."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(same(a[k], b[k]) for k in a)
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        alike = (a.dtype, a.shape, a.device) == (b.dtype, b.shape, b.device)
        return alike and torch.equal(a, b) if a.dtype is torch.bool else alike and torch.equal(bits_of(a), bits_of(b))
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Extra) and isinstance(b, Extra):
        return same((a.value, a.affects_rows, a.per_image), (b.value, b.affects_rows, b.per_image))
    return a == b


def metadata_tensors(prepared: Prepared) -> Iterator[Tensor]:
    """Every tensor of a received request that is no payload."""
    bare = tuple(dataclasses.replace(item, payload=None) for item in prepared.items)
    return tensors_in(dataclasses.replace(prepared, items=bare))


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor in the fields, values and entries of ``value``, however deep."""
    if isinstance(value, Tensor):
        yield value
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from tensors_in(getattr(value, f.name))
    elif isinstance(value, Mapping | tuple | list | set | frozenset):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(one)


def same_bits(a: list[list[Tensor]], b: list[list[Tensor]]) -> bool:
    """Equal dtypes, shapes and elements, all on the CPU. Of integers, as ``bits_of`` gives them."""
    return len(a) == len(b) and all(
        len(x) == len(y)
        and all(
            s.dtype == t.dtype and s.shape == t.shape and s.device.type == "cpu" and bool((s == t).all())
            for s, t in zip(x, y, strict=True)
        )
        for x, y in zip(a, b, strict=True)
    )


def overwrite(prepared: Prepared) -> None:
    """What was published must not follow what its owner does with its memory next."""
    for item in prepared.items:
        for part in parts_of(item.payload):
            if isinstance(part, Tensor) and part.numel():
                torch.tensor([], dtype=torch.uint8).set_(part.untyped_storage()).fill_(0x5A)
