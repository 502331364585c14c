"""What an item is: its digest, and the prefix keys that a prefix cache compares. Format 1 of ``conformance.md``."""

import struct
from collections.abc import Sequence

import torch
from blake3 import blake3
from torch import Tensor

from plumbline.interface import (
    BadExtra,
    BadGrid,
    BadPayload,
    Identity,
    Item,
    MalformedRequest,
    PayloadMissing,
    PlumblineError,
    Source,
    Trust,
)
from reference.embed import item_positions
from reference.encode import parts_of


def identify(items: Sequence[Item]) -> list[Identity | PlumblineError]:
    """One identity, or one error, for each one-image item, from that item alone, which is only read.

    IDENT-011, IDENT-012.
    """
    results: list[Identity | PlumblineError] = []
    for item in items:
        try:
            results.append(Identity(digest(item)))
        except PlumblineError as error:
            results.append(error)
    return results


def digest(item: Item) -> bytes:
    """32 bytes that differ exactly where the content differs, in the encoding of format 1.

    Every field carries its length, so that no two lists of fields have the same bytes.
    IDENT-001 to IDENT-010, IDENT-013, IDENT-014, ISO-005. Raises PayloadMissing, BadPayload, BadGrid or BadExtra.
    """
    if item.payload is None:
        raise PayloadMissing("an item without a payload has no content to identify")
    parts = parts_of(item)
    key = item.given[0] if item.given else None
    read_values = key is None or key.trust is not Trust.TRUSTED
    extras = sorted((name, extra.value) for name, extra in item.extras.items() if extra.affects_rows)
    kind = b"rows" if item.source is Source.PRECOMPUTED else b"features"
    fields = [kind, item.modality.value.encode("ascii"), _grid_bytes(item), _int64(len(parts))]
    for part in parts:
        fields += tensor_fields(part, BadPayload, read_values)
    fields.append(_int64(len(extras)))
    for name, value in extras:
        fields += [encode_text(name), *encode_value(value)]
    if key is None:
        fields.append(b"")
    else:
        fields += [key.trust.value.encode("ascii"), encode_text(key.tenant), encode_text(key.key)]
    return blake3(b"plumbline/identity/1" + _join(fields)).digest()


def prefix_keys(token_ids: Tensor, items: Sequence[Item], identities: Sequence[Identity]) -> Tensor:
    """CPU int64 [N]: the token id at a text position, and a word of the item's identity at each of its rows.

    A word inside [0, 2^31) could be a token id, so its sign bit is set.

    PREFIX-001 to PREFIX-005.
    """
    keys = token_ids.clone()
    for item, identity in zip(items, identities, strict=True):
        positions = item_positions(item)
        stream = blake3(b"plumbline/prefix/1" + identity.digest).digest(length=8 * len(positions))
        words = struct.unpack(f"<{len(positions)}q", stream)
        keys[positions] = torch.tensor([w | -(2**63) if 0 <= w < 2**31 else w for w in words], dtype=torch.int64)
    return keys


def encode_value(value: object) -> tuple[bytes, bytes]:
    """Type and bytes of an extra's value. What this refuses with BadExtra cannot be an extra. PREP-015, PREP-026."""
    if isinstance(value, bool):  # before int, of which it is a subclass
        return b"bool", bytes([value])
    if isinstance(value, int):
        try:
            return b"int", str(int(value)).encode("ascii")
        except ValueError as error:
            raise BadExtra("an integer with more digits than Python writes out", hint="send it as bytes") from error
    if isinstance(value, float):
        return b"float", struct.pack("<d", value)
    if isinstance(value, str):
        return b"str", encode_text(value)
    if isinstance(value, bytes):
        return b"bytes", bytes(value)
    if isinstance(value, Tensor) and value.device.type == "cpu":
        if dense(value, BadExtra).nbytes > value.untyped_storage().nbytes() + 2**20:
            raise BadExtra(f"a tensor of {value.nbytes} bytes that stores far fewer", hint="send it contiguous")
        return b"tensor", _join(tensor_fields(value, BadExtra, read_values=True))
    raise BadExtra(f"a value of {type(value)}", hint="use bool, int, float, str, bytes or a CPU tensor")


def encode_text(text: str) -> bytes:
    """UTF-8. Raises BadExtra for what has none."""
    if not isinstance(text, str):
        raise BadExtra("a name or key that is not a string")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadExtra("a string with a lone surrogate", hint="send text that UTF-8 can encode") from error


def dense(tensor: object, error: type[MalformedRequest]) -> Tensor:
    """``tensor``, if it is a dense one with values and without a gradient; else raises ``error``. PREP-008."""
    if not isinstance(tensor, Tensor):
        raise error(f"{type(tensor).__name__} where a tensor is due")
    if tensor.is_nested or tensor.layout is not torch.strided:
        raise error(f"a tensor of layout {tensor.layout}", hint="send it dense")
    if tensor.is_quantized:
        raise error("a quantized tensor", hint="dequantize it")
    if tensor.is_meta:
        raise error("a tensor on the meta device, which has no values")
    if tensor.requires_grad:
        raise error("a tensor that requires a gradient", hint="detach it")
    if tensor.numel() and not tensor.untyped_storage().nbytes():
        raise error("a tensor whose storage was freed", hint="send it before that")
    return tensor


def tensor_fields(tensor: object, error: type[MalformedRequest], read_values: bool) -> tuple[bytes, bytes, bytes]:
    """dtype name, shape, and the hash of the values, which is empty where they are not to be read."""
    tensor = dense(tensor, error)
    dtype = str(tensor.dtype).removeprefix("torch.").encode("ascii")
    hashed = blake3(_row_major_bytes(tensor)).digest() if read_values else b""
    return dtype, _int64(*tensor.shape), hashed


def _row_major_bytes(tensor: Tensor) -> bytes:
    # A clone, as a tensor can count as contiguous and still have odd strides in dimensions of size one.
    plain = tensor.cpu().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()


def _grid_bytes(item: Item) -> bytes:
    if item.grid_thw is None:
        return b""
    if item.grid_thw.shape != (1, 3):
        raise BadGrid("a bundle has no identity", hint="identify its images one by one")
    return _int64(*item.grid_thw[0].tolist())


def _int64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _join(fields: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(data)) + data for data in fields)
