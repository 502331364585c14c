"""Transport cases as recipes of small integers: what is published, and in which order both sides act on it.

A case holds no tensor, so it shrinks, prints and replays. ``transport_run.py`` runs it, ``transport_judge.py`` judges it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plumbline.build import with_strides
from plumbline.exact import exact_spec
from plumbline.interface import CallerKey, Extra, Identity, Item, Modality, Prepared, Source, Span, TensorMeta, Trust
from plumbline.scenario import TowerRecipe, compact, decode

LEASE_SECONDS = 10.5
"""Never a sum of ``ADVANCES``, so that no case depends on what happens at the very last moment."""
ADVANCES = (3.3, 7.1, 11, 50)
"""Seconds that the clock can go on at once."""
WIDTH = 16
"""Elements in each row of a payload, if an item does not say otherwise."""
SPEC = exact_spec(TowerRecipe(hidden=WIDTH, patch_shape=(WIDTH,)))

KINDS = (
    *("publish", "deliver", "open", "read", "check", "release", "cancel", "beat", "advance", "collect"),
    *("lose_reader", "kill_reader", "lose_worker", "kill_worker", "close_worker", "close_reader", "corrupt", "reserve"),
    *("restart_reader", "restart_worker", "release_part", "keep"),
)


@dataclass(frozen=True)
class WireItem:
    """rows: dim 0 of each payload tensor. dress: which of the other fields, by number. held: its rows are held.

    on_device: its payload lies on the worker's device, where that is not the CPU. width: elements in each row. text: in
    all of its strings. digest: which of ``DIGESTS`` its identity is.
    """

    seed: int = 0
    rows: tuple[int, ...] = (4,)
    dtype: str = "float32"
    strides: str = "contiguous"
    dress: int = 0
    held: bool = False
    on_device: bool = True
    width: int = WIDTH
    text: str = ""
    digest: int = 0


@dataclass(frozen=True)
class WireRequest:
    """readers: a bit for each rank, all if none of them exists, and nobody if it is 0. in_place: written into reserved
    space. fault: "", or one of ``transport_faulty.FAULTS`` in the last item, so that publishing fails. name: how its id
    ends."""

    items: tuple[WireItem, ...] = ()
    readers: int = 1
    in_place: bool = False
    fault: str = ""
    name: str = ""

    def to(self, ranks: int) -> frozenset[int]:
        """Which of so many ranks it is published to."""
        everybody = frozenset(range(ranks))
        return frozenset(r for r in everybody if self.readers >> r & 1) or (everybody if self.readers else frozenset())


@dataclass(frozen=True)
class Act:
    """One call. who: a worker, a rank or a step of the clock, counted around. what: a request or a publication."""

    kind: str
    who: int = 0
    what: int = 0


@dataclass(frozen=True)
class TransportCase:
    """pool: payload bytes of all workers together. start: what the clock shows at first."""

    workers: int = 1
    ranks: int = 1
    pool: int = 4096
    requests: tuple[WireRequest, ...] = ()
    acts: tuple[Act, ...] = ()
    start: float = 0.0

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def size(self) -> int:
        return len(repr(compact(self)))


@dataclass(frozen=True)
class Delivery:
    """Requests that are published one after the other, by workers counted around, and then read by all their readers."""

    workers: tuple[int, ...]
    requests: tuple[WireRequest, ...]

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def size(self) -> int:
        return len(repr(compact(self)))


def loads(text: str) -> TransportCase:
    """A case from its JSON; unknown fields are an error."""
    return typing.cast(TransportCase, decode(TransportCase, json.loads(text)))


# -- recipes into prepared requests

_EXTRAS: tuple[dict[str, Extra], ...] = (
    {},
    {"fps": Extra(2, True)},
    {"fps": Extra(2.0, True), "note": Extra("größer", False)},
    {"yes": Extra(True, True), "one": Extra(1, True), "raw": Extra(b"\x00\xff", False)},
    {"crop": Extra(torch.arange(6, dtype=torch.int16).view(2, 3).t(), True), "nothing": Extra(torch.empty(0, 3), True)},
    {"half": Extra(torch.tensor([1.0, -0.0, float("nan")], dtype=torch.bfloat16), True)},
    {"wide": Extra(2**63 - 1, True), "deep": Extra(-(2**63), False), "scalar": Extra(torch.tensor(3.5), True)},
    {"nan": Extra(float("nan"), True), "minus": Extra(-0.0, True), "mask": Extra(torch.tensor([True, False]), True)},
)
DRESSES = len(_EXTRAS)
DIGESTS = ((0, 32, 0), (0, 31, 1), (1, 31, 0), (0, 16, 0), (0, 20, 12), (0, 33, 0))
"""Zeros, bytes of a hash, and zeros again: what a format that cuts, pads or strips would change."""


def _bits(item: WireItem, part: int) -> Tensor:
    """[rows[part], WIDTH] of the item's dtype: any bits, NaN among them; of bool and complex numbers, some values."""
    dtype: torch.dtype = getattr(torch, item.dtype)
    raw = np.random.default_rng([item.seed, part]).integers(
        0, 256, (item.rows[part], item.width * dtype.itemsize), dtype=np.uint8
    )
    if dtype is torch.bool:
        raw &= 1
    if dtype.is_complex or item.strides == "negative":  # a NaN that is negated keeps its bits on some devices only
        values = torch.from_numpy(raw[:, : item.width * (1 + dtype.is_complex)].astype(np.float64))
        return (torch.view_as_complex(values.view(-1, item.width, 2)) if dtype.is_complex else values).to(dtype)
    return torch.from_numpy(raw).view(dtype) if len(raw) else torch.empty(0, item.width, dtype=dtype)


def parts_of(item: WireItem, device: torch.device | None = None) -> tuple[Tensor, ...]:
    """The item's payload tensors, as the recipe lays them out in memory; there, if that is where the item lies."""
    there = device if item.on_device and device is not None else torch.device("cpu")
    return tuple(with_strides(_bits(item, k).to(there), item.strides) for k in range(len(item.rows)))


def metas_of(request: WireRequest, device: torch.device | None = None) -> list[TensorMeta]:
    """One for each payload tensor, in order."""
    tensors = [p for item in request.items for p in parts_of(item, device)]
    return [TensorMeta(tuple(t.shape), t.dtype, t.numel() * t.element_size(), t.device) for t in tensors]


def identity_of(item: WireItem) -> Identity:
    before, length, after = DIGESTS[item.digest % len(DIGESTS)]
    content = repr((item.seed, item.rows, item.dtype, item.width)).encode()
    return Identity(bytes(before) + hashlib.blake2b(content, digest_size=length).digest() + bytes(after))


def prepared_of(
    name: str, request: WireRequest, parts: Sequence[Tensor] | None = None, device: torch.device | None = None
) -> Prepared:
    """The request as prepare would hand it over; with ``parts`` these tensors in the place of its payloads."""
    given = list(parts) if parts is not None else [p for item in request.items for p in parts_of(item, device)]
    items: list[Item] = []
    ids = [1]
    for item in request.items:
        own = tuple(given[: len(item.rows)])
        del given[: len(item.rows)]
        kind, rows = _kind(item), sum(item.rows)
        here = len(ids)
        cut = here + (rows + 1) // 2
        spans = tuple((lo, hi) for lo, hi in ((here, cut), (cut + 1, here + rows + 1)) if lo < hi)
        placeholder = SPEC.layouts[kind[0]].placeholder_id
        ids += [placeholder] * (cut - here) + [2] + [placeholder] * (here + rows - cut)
        items.append(_dressed(item, kind, own[0] if len(own) == 1 else own, spans))
    keys = torch.arange(len(ids), dtype=torch.int64) * -0x61C8864680B583EB
    identities = tuple(identity_of(i) for i in request.items)
    return Prepared(name + request.name, torch.tensor(ids, dtype=torch.int64), tuple(items), identities, keys)


def _kind(item: WireItem) -> tuple[Modality, Source]:
    """What nothing but the sizes and the dtype allow."""
    if not sum(item.rows):
        return Modality.AUDIO, Source.PIXELS
    kinds = [(Modality.IMAGE, Source.PIXELS), (Modality.VIDEO, Source.PREPROCESSED), (Modality.AUDIO, Source.PIXELS)]
    if item.dtype == "float32":
        kinds.append((Modality.IMAGE, Source.PRECOMPUTED))
    return kinds[item.dress % len(kinds)]


def _dressed(
    item: WireItem, kind: tuple[Modality, Source], payload: Tensor | tuple[Tensor, ...], spans: tuple[Span, ...]
) -> Item:
    (modality, source), rows, dress = kind, sum(item.rows), item.dress % DRESSES
    grid = (rows, 1, 1) if modality is Modality.VIDEO else (1, 1, rows) if modality is Modality.IMAGE else None
    key = CallerKey("tenant" + item.text, f"k{dress}{item.text}", Trust.VERIFIED if dress % 4 else Trust.TRUSTED)
    said = {item.text: Extra(item.text, False)} if item.text else {}
    return Item(
        modality=modality,
        source=source,
        payload=payload,
        spans=spans,
        grid_thw=torch.tensor([grid], dtype=torch.int64) if grid and source is not Source.PRECOMPUTED else None,
        extras={**_EXTRAS[dress], **said},
        given=(key,) if dress > 4 else (),
    )
