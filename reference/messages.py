"""A prepared request as the bytes of one message, and back.

A message is msgpack, which cannot name code: the version, and all fields of the request. MSG-001, MSG-004, MSG-005.
"""

from dataclasses import replace
from typing import Literal

import msgspec
import torch
from torch import Tensor

from plumbline.interface import (
    BadMessage,
    BadPayload,
    CallerKey,
    Extra,
    Identity,
    Item,
    MalformedRequest,
    Modality,
    PlumblineError,
    Prepared,
    Source,
    Span,
)
from reference.identify import dense, encode_value

# A closed list: torch has dtypes, such as the quantized ones, that crash the process on arbitrary bytes.
DTYPES = {
    name: getattr(torch, name)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "bfloat16", "float16"),
        *("float32", "float64", "complex32", "complex64", "complex128", "float4_e2m1fn_x2", "float8_e4m3fn"),
        *("float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    )
}


PLAIN: tuple[type, ...] = (int, float, str, bytes)
"""What a value of a subclass is sent as."""


class WireTensor(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data: bytearray  # the values in row-major order, little-endian


class WireItem(msgspec.Struct):
    """An ``Item``, and below a ``Prepared``, whose tensors are still wire tensors. The value of an extra may be one too."""

    modality: Modality
    source: Source
    payload: WireTensor | tuple[WireTensor, ...] | None
    spans: tuple[Span, ...]
    grid_thw: WireTensor | None
    extras: dict[str, Extra]
    given: tuple[CallerKey, ...]


class WirePrepared(msgspec.Struct):
    request_id: str
    token_ids: WireTensor
    items: tuple[WireItem, ...]
    identities: tuple[Identity, ...]
    prefix_keys: WireTensor


DECODER = msgspec.msgpack.Decoder(tuple[Literal[1], WirePrepared])


def encode(prepared: Prepared) -> bytes:
    """The message. MSG-001, MSG-005. Raises BadPayload, or MalformedRequest for what msgpack cannot hold."""
    try:
        return msgspec.msgpack.encode((1, prepared), enc_hook=encode_foreign)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        hint = "integers of 64 bits, text without lone surrogates, readable tensors below 4 GiB"
        raise MalformedRequest(f"it does not fit into a message: {error}", hint=hint) from error


def encode_foreign(value: object) -> WireTensor | int | float | str | bytes:
    """What msgspec does not know by itself: a tensor with any strides on any device, and subclasses of plain types, as numpy
    has them. MSG-005, MSG-010, PREP-026."""
    for plain in PLAIN:
        if isinstance(value, plain):
            return plain(value)  # type: ignore[no-any-return]
    tensor = dense(value, BadPayload)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise BadPayload(f"a tensor of {tensor.dtype}", hint=f"use one of {', '.join(DTYPES)}")
    # A clone, as a tensor can count as contiguous and still have odd strides in dimensions of size one.
    whole = tensor.cpu().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    return WireTensor(dtype, tuple(tensor.shape), bytearray(whole.reshape(-1).view(torch.uint8).numpy()))


def decode(message: bytes) -> Prepared:
    """What the message says, with plain CPU tensors. Whether it makes sense is for ``transport.check`` to find.

    Time and memory are bounded by the message's length: msgspec makes room as it reads, never for a claim. Encoded again,
    the request has to give the same bytes, so that nothing was ignored. MSG-001 to MSG-006. Raises BadMessage.
    """
    try:
        _, wire = DECODER.decode(message)
        items = tuple(decode_item(item) for item in wire.items)
        token_ids, prefix_keys = decode_tensor(wire.token_ids), decode_tensor(wire.prefix_keys)
        prepared = Prepared(wire.request_id, token_ids, items, wire.identities, prefix_keys)
        if encode(prepared) != message:
            raise ValueError("it would be written in another way")
        return prepared
    except (ValueError, TypeError, RecursionError, PlumblineError) as error:
        raise BadMessage(f"not a message of version 1: {error}") from error


def decode_item(wire: WireItem) -> Item:
    """One item, its payload divided as it was. MSG-005, MSG-006."""
    payload: Tensor | tuple[Tensor, ...] | None = None
    if isinstance(wire.payload, tuple):
        payload = tuple(decode_tensor(part) for part in wire.payload)
    elif wire.payload is not None:
        payload = decode_tensor(wire.payload)
    grid = None if wire.grid_thw is None else decode_tensor(wire.grid_thw)
    extras = {name: decode_extra(extra) for name, extra in wire.extras.items()}
    return Item(wire.modality, wire.source, payload, wire.spans, grid, extras, wire.given)


def decode_extra(extra: Extra) -> Extra:
    """The extra, its value a tensor where it is a wire tensor. MSG-005. Raises ValueError, or BadExtra for other values."""
    value = extra.value
    if isinstance(value, dict):
        value = decode_tensor(msgspec.convert(value, WireTensor))
    encode_value(value)  # what has an identity can be an extra
    return replace(extra, value=value)


def decode_tensor(wire: WireTensor) -> Tensor:
    """A CPU tensor over exactly the bytes that came. MSG-003, MSG-005, MSG-006. Raises ValueError."""
    if wire.dtype not in DTYPES:
        raise ValueError(f"dtype {wire.dtype!r}")
    dtype = DTYPES[wire.dtype]
    count = 1  # Python's integers do not wrap. An empty dimension counts as one, as it does in torch's strides.
    for size in wire.shape:
        count *= max(1, size)
        if size < 0 or count >= 2**63:  # at once, as the product of many sizes takes longer than reading them
            raise ValueError("a shape that no tensor has")
    expected = 0 if 0 in wire.shape else count * dtype.itemsize
    if len(wire.data) != expected:
        raise ValueError(f"{len(wire.data)} bytes for a tensor of {expected}")
    if not wire.data:  # frombuffer takes no empty one
        return torch.empty(wire.shape, dtype=dtype)
    return torch.frombuffer(wire.data, dtype=dtype).reshape(wire.shape)
