"""Messages: a prepared request as bytes, version 2. They begin with ``MAGIC``; msgpack of ``Wire`` follows.

Lengths inside are checked against the message's own before anything is allocated: the decoder is typed, it reads bytes in
place, and it names no code.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from msgspec import DecodeError, Meta, Struct, ValidationError
from msgspec.msgpack import Decoder, Encoder
from torch import Tensor

from optimized.identify import raw_bytes, unusable
from plumbline.interface import (
    BadExtra,
    BadMessage,
    BadPayload,
    CallerKey,
    Extra,
    Feature,
    Identity,
    Item,
    MalformedRequest,
    Modality,
    Payload,
    Prepared,
    Source,
    TooLarge,
    Trust,
)

MAGIC = b"plm\x02"
"""The last byte is the version."""

DTYPES: Mapping[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in (
        *("float32", "bfloat16", "float16", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"),
        *("uint16", "uint32", "uint64", "complex32", "complex64", "complex128", "float4_e2m1fn_x2"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
BYTES, INTEGER = "bytes", "int"
"""Kinds of extras that are no tensor: bytes, and an integer beyond 64 bits, little-endian in two's complement."""

MOST_BYTES = 1 << 62
MOST_DIMENSIONS = 64
MOST_PATCHES = 1 << 31
LEAST_DIGEST = 16
WORD = 1 << 63

Size = Annotated[int, Meta(ge=0, lt=MOST_BYTES)]
Shape = Annotated[tuple[Size, ...], Meta(max_length=MOST_DIMENSIONS)]


class WirePart(Struct, array_like=True, frozen=True):
    """A tensor. at: its bytes in row-major order, or where they begin in the lease's segment. kind: its dtype."""

    kind: str
    shape: Shape
    at: Size | memoryview


class WireExtra(Struct, array_like=True, frozen=True):
    name: str
    affects_rows: bool
    value: bool | int | float | str | WirePart


class WireKey(Struct, array_like=True, frozen=True):
    tenant: str
    key: str
    trust: Trust


class WireItem(Struct, array_like=True, frozen=True):
    """parts: None where the payload stayed away. divided: the payload is a tuple."""

    modality: Modality
    source: Source
    digest: bytes
    parts: tuple[WirePart, ...] | None
    divided: bool
    spans: tuple[tuple[Size, Size], ...]
    grid_thw: tuple[Size, Size, Size] | None
    extras: tuple[WireExtra, ...]
    given: tuple[WireKey, ...]


class WireLease(Struct, array_like=True, frozen=True):
    """Whose segment, which of that worker's, and which slot of it. A number can name no other file."""

    worker: Size
    stamp: Size
    slot: Size
    generation: Annotated[int, Meta(gt=0, lt=1 << 62)]


class Wire(Struct, array_like=True, frozen=True):
    """token_ids, prefix_keys: int64, little-endian."""

    request_id: str
    token_ids: memoryview
    prefix_keys: memoryview
    items: tuple[WireItem, ...]
    lease: WireLease | None


PLAIN: tuple[type, ...] = (int, float, str, bytes)


def plain(value: object) -> object:
    """The value of a subclass, which msgspec refuses where it is no enumeration."""
    for kind in PLAIN:
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{type(value).__name__} has no place in a message")


_encoder = Encoder(enc_hook=plain)
_decoder = Decoder(Wire)

Places = Mapping[int, int]
"""Where a payload tensor lies in the segment, by the tensor's id()."""


def payload_tensors(item: Item) -> tuple[Tensor, ...]:
    """Of an item that was not received; nothing where the payload stayed away."""
    payload: Any = item.payload
    return payload if isinstance(payload, tuple) else () if payload is None else (payload,)


# ------------------------------------------------------------------------------------------------------------- encode


def encode(
    prepared: Prepared, lease: WireLease | None, places: Places, held: frozenset[Identity], buffer: bytearray
) -> bytes:
    """A message of ``prepared``. Payloads without a place travel in it, those of ``held`` not at all.

    buffer: to write in; kept by the caller, it has the size of the last message already.

    Raises BadPayload, BadExtra, MalformedRequest (text that is not Unicode), TooLarge (4 GiB in one tensor).
    """
    if len(prepared.items) != len(prepared.identities):
        what = f"{len(prepared.identities)} identities of {len(prepared.items)} items"
        raise MalformedRequest(what, where=where_of(prepared))
    try:
        wire = Wire(
            prepared.request_id,
            int64_bytes(prepared.token_ids),
            int64_bytes(prepared.prefix_keys),
            tuple(
                [
                    wire_item(item, identity, places, identity in held, prepared)
                    for item, identity in zip(prepared.items, prepared.identities, strict=True)
                ]
            ),
            lease,
        )
        buffer[: len(MAGIC)] = MAGIC
        _encoder.encode_into(wire, buffer, len(MAGIC))
        return bytes(buffer)
    except UnicodeEncodeError as error:
        raise MalformedRequest("a text is not valid Unicode", where=ascii(where_of(prepared))) from error
    except (OverflowError, ValueError) as error:
        what = f"more than a message can hold: {error}"
        raise TooLarge(what, where=where_of(prepared), hint="enlarge the pool") from error


def where_of(prepared: Prepared) -> str:
    return f"request {prepared.request_id}"


def int64_bytes(tensor: Tensor) -> memoryview:
    """Of a CPU int64 tensor."""
    return tensor.contiguous().numpy().data


def wire_item(item: Item, identity: Identity, places: Places, held: bool, prepared: Prepared) -> WireItem:
    payload, grid = item.payload, item.grid_thw
    sides: Any = None if grid is None else tuple(grid.tolist()[0])
    return WireItem(
        item.modality,
        item.source,
        identity.digest,
        None if held or payload is None else tuple([wire_part(part, places) for part in payload_tensors(item)]),
        isinstance(payload, tuple),
        tuple(item.spans),
        sides,
        tuple([wire_extra(name, extra, prepared) for name, extra in item.extras.items()]),
        tuple([WireKey(key.tenant, key.key, key.trust) for key in item.given]),
    )


def wire_part(tensor: Tensor, places: Places) -> WirePart:
    if tensor.dtype not in NAMES or tensor.dim() > MOST_DIMENSIONS:
        raise BadPayload(f"{tensor.dtype} of {tensor.dim()} dimensions has no place in a message")
    at = places.get(id(tensor))
    return WirePart(NAMES[tensor.dtype], tuple(tensor.shape), raw_bytes(tensor).data if at is None else at)


def wire_extra(name: str, extra: Extra, prepared: Prepared) -> WireExtra:
    value, where = extra.value, where_of(prepared)
    if extra.per_image:
        raise BadExtra(f"extra {name!r} is of a bundle", where=where, hint="prepare splits bundles")
    if isinstance(value, bool | float | str):
        return WireExtra(name, extra.affects_rows, value)
    if isinstance(value, int):
        return WireExtra(name, extra.affects_rows, value if -WORD <= value < WORD else wire_integer(value))
    if isinstance(value, bytes):
        return WireExtra(name, extra.affects_rows, WirePart(BYTES, (), memoryview(value)))
    if reason := unusable(value):
        raise BadExtra(f"extra {name!r}: {reason}", where=where, hint="bool, int, float, str, bytes or a CPU tensor")
    assert isinstance(value, Tensor)
    return WireExtra(name, extra.affects_rows, wire_part(value, {}))


def wire_integer(value: int) -> WirePart:
    return WirePart(INTEGER, (), memoryview(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)))


# ------------------------------------------------------------------------------------------------------------- decode


def decode(message: bytes) -> Wire:
    """What the bytes say, none of it checked against anything else. Raises BadMessage."""
    if message[: len(MAGIC)] != MAGIC:
        raise BadMessage(f"begins with {bytes(message[: len(MAGIC)])!r}, where {MAGIC!r} is read")
    try:
        return _decoder.decode(memoryview(message)[len(MAGIC) :])
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not a message of this version: {error}") from error


def prepared_of(wire: Wire, feature: Callable[[WirePart], Feature] | None) -> Prepared:
    """The request. feature: makes what stands for a part in a segment; None without a lease. Raises BadMessage."""
    token_ids, prefix_keys = words(wire.token_ids), words(wire.prefix_keys)
    if not len(token_ids) or len(token_ids) != len(prefix_keys):
        raise BadMessage(f"{len(prefix_keys)} prefix keys for {len(token_ids)} tokens")
    check_spans(wire.items, len(token_ids))
    return Prepared(
        wire.request_id,
        token_ids,
        tuple([item_of(item, feature) for item in wire.items]),
        tuple([Identity(item.digest) for item in wire.items]),
        prefix_keys,
    )


def check_spans(items: Sequence[WireItem], length: int) -> None:
    free = 0
    for lo, hi in sorted([span for item in items for span in item.spans]):
        if not free <= lo < hi <= length:
            raise BadMessage(f"the span {(lo, hi)} is empty, overlaps another or ends after {length}")
        free = hi


def item_of(item: WireItem, feature: Callable[[WirePart], Feature] | None) -> Item:
    if len(item.digest) < LEAST_DIGEST or len(item.given) > 1:
        raise BadMessage(f"an identity of {len(item.digest)} bytes and {len(item.given)} caller keys")
    sides = item.grid_thw
    if sides is not None and (min(sides) < 1 or math.prod(sides) > MOST_PATCHES):
        raise BadMessage(f"a grid of {sides}")
    payload: Payload = None
    if item.parts is not None:
        check_sizes(item, item.parts)
        payload = tuple([part_of(part, feature) for part in item.parts])
        if not item.divided:
            payload = payload[0]
    return Item(
        item.modality,
        item.source,
        payload,
        item.spans,
        None if sides is None else words(struct.pack("<3q", *sides)).view(1, 3),
        {extra.name: Extra(value_of(extra.value), extra.affects_rows) for extra in item.extras},
        tuple([CallerKey(key.tenant, key.key, key.trust) for key in item.given]),
    )


def check_sizes(item: WireItem, parts: Sequence[WirePart]) -> None:
    """As many entries as there have to be whatever the tower, because others count on it."""
    if not parts or (len(parts) > 1 and not item.divided):
        raise BadMessage(f"a payload of {len(parts)} tensors")
    size = 0
    for part in parts:
        if part.kind != parts[0].kind or not part.shape:
            raise BadMessage("a payload of several dtypes, or of a tensor without dimensions")
        size += part.shape[0]
    due = None
    if item.source is Source.PRECOMPUTED:
        due = sum(hi - lo for lo, hi in item.spans)
    elif item.grid_thw is not None:
        due = math.prod(item.grid_thw)
    if due is not None and size != due:
        raise BadMessage(f"a payload of {size} entries, where {due} are due")


def part_of(part: WirePart, feature: Callable[[WirePart], Feature] | None) -> Tensor | Feature:
    if isinstance(part.at, memoryview):
        return tensor(part)
    if feature is None:
        raise BadMessage("a payload in a segment, and no lease")
    return feature(part)


def dtype_of(part: WirePart) -> torch.dtype:
    if part.kind not in DTYPES:
        raise BadMessage(f"there is no dtype {part.kind[:20]!r}")
    return DTYPES[part.kind]


def nbytes_of(part: WirePart) -> int:
    """Raises BadMessage: there is no such tensor."""
    itemsize = dtype_of(part).itemsize
    # A tensor without elements has strides all the same, and they have to fit a word too.
    if math.prod(max(length, 1) for length in part.shape) * itemsize > MOST_BYTES:
        raise BadMessage("a tensor beyond all memory")
    return math.prod(part.shape) * itemsize


def tensor(part: WirePart) -> Tensor:
    """A tensor of its own memory, from bytes in the message."""
    assert isinstance(part.at, memoryview)
    size = nbytes_of(part)
    if size != len(part.at):
        raise BadMessage(f"{len(part.at)} bytes for a tensor of {size}")
    if not size:
        return torch.empty(part.shape, dtype=dtype_of(part))
    return torch.frombuffer(bytearray(part.at), dtype=dtype_of(part)).view(part.shape)


def words(data: bytes | memoryview) -> Tensor:
    copy = bytearray(data)
    if len(copy) % 8:
        raise BadMessage(f"{len(copy)} bytes of int64")
    return torch.frombuffer(copy, dtype=torch.int64) if copy else torch.empty(0, dtype=torch.int64)


def value_of(value: bool | int | float | str | WirePart) -> object:
    if not isinstance(value, WirePart):
        return value
    if not isinstance(value.at, memoryview):
        raise BadMessage("an extra is not in the message")
    if value.kind == BYTES:
        return bytes(value.at)
    return int.from_bytes(value.at, "little", signed=True) if value.kind == INTEGER else tensor(value)
