"""Identities and prefix keys, in format 1 of ``conformance.md``. Payloads are hashed where they lie, on CUDA devices too."""

from __future__ import annotations

import copy
import os
import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

from plumbline.interface import (
    BadExtra,
    BadGrid,
    BadPayload,
    CallerKey,
    Identity,
    Item,
    PayloadMissing,
    PlumblineError,
    Runtime,
    Source,
    Trust,
)

IDENTITY = b"plumbline/identity/1"
PREFIX = b"plumbline/prefix/1"
SIGN = np.iinfo(np.int64).min

# A hasher with threads starts its own, which costs some 50 us. A shared pool would be cheaper, and dead after a fork.
THREADS = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
THREADS_PAY_FROM = 4 << 20


def unusable(value: object) -> str:
    """Why ``value`` is not a tensor whose bytes can be read; empty where it is one."""
    if not isinstance(value, Tensor):
        return f"{type(value).__name__} is not a tensor"
    if value.is_nested or value.layout is not torch.strided:
        return f"{value.layout} is not a strided layout"
    if value.is_quantized:
        return "the tensor is quantized"
    if value.is_meta:
        return "a meta tensor has no values"
    if value.requires_grad:
        return "the tensor requires grad"
    if value.numel() > 0 and value.untyped_storage().size() == 0:
        return "the tensor's storage was given back"
    return ""


def raw_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """The bytes of ``tensor`` in row-major order; a view of its storage where it lies there in that order."""
    plain = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    # A dimension of size 1 may have any stride in a contiguous tensor, and then refuses to be viewed as bytes.
    return plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy()


def int64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def utf8(text: str, where: str = "") -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadExtra(f"{text!r} is not valid Unicode text", where=where) from error


def decimal(value: int, where: str = "") -> bytes:
    try:
        return str(int(value)).encode()
    except ValueError as error:  # Python refuses thousands of digits, whose conversion takes quadratic time
        raise BadExtra(f"an integer of {value.bit_length()} bits", where=where) from error


def on_cuda(item: Item) -> list[Tensor]:
    """The item's payload tensors on CUDA devices, where their values are part of its identity."""
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    there = [part for part in parts if isinstance(part, Tensor) and part.is_cuda]
    if not there or any(given.trust is Trust.TRUSTED for given in item.given):
        return []
    return [part for part in there if not unusable(part)]


def hashed_there(tensors: Sequence[Tensor]) -> dict[int, bytes]:
    """BLAKE3-256 of tensors on CUDA devices by the ids of the objects: one launch, and one wait, for each device. Empty
    without Triton; their bytes then go through the host."""
    try:
        from optimized.blake3_triton import digests
    except ImportError:
        return {}
    found: dict[int, bytes] = {}
    for device in {tensor.device for tensor in tensors}:
        there = [tensor for tensor in tensors if tensor.device == device]
        found.update(zip(map(id, there), digests(there), strict=True))
    return found


class Identifier:
    """BLAKE3-256 over a header of length-prefixed fields that holds the payloads' own hashes.

    known: hashes of tensors by the ids of the objects, for the time of one call.
    """

    known: Mapping[int, bytes] = {}

    def __init__(self, runtime: Runtime) -> None:
        self.spec = runtime.spec

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        identifier = self
        if there := [tensor for item in items for tensor in on_cuda(item)]:
            identifier = copy.copy(self)  # other threads may be in other calls
            identifier.known = hashed_there(there)
        return [identifier.identity(item) for item in items]

    def identity(self, item: Item) -> Identity | PlumblineError:
        try:
            return Identity(self.digest(item))
        except PlumblineError as error:
            return error.with_traceback(None)

    def digest(self, item: Item) -> bytes:
        return blake3(self.header(item)).digest()

    def header(self, item: Item) -> bytes:
        return IDENTITY + b"".join(len(field).to_bytes(8, "little") + field for field in self.fields(item))

    def fields(self, item: Item) -> Iterator[bytes]:
        yield self.kind(item)
        yield item.modality.value.encode()
        yield self.grid(item)
        yield from self.payload(item)
        yield from self.extras(item)
        yield from self.caller_key(item)

    def kind(self, item: Item) -> bytes:
        return b"rows" if item.source is Source.PRECOMPUTED else b"features"

    def grid(self, item: Item) -> bytes:
        grid = item.grid_thw
        if grid is None:
            return b""
        if unusable(grid) or grid.dtype != torch.int64 or grid.shape != (1, 3):
            raise BadGrid("the grid of one image is an int64 tensor of shape [1, 3]", hint="prepare splits bundles")
        return int64(*grid.flatten().tolist())

    def payload(self, item: Item) -> Iterator[bytes]:
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        given = self.given(item)
        read = given is None or given.trust is Trust.VERIFIED
        yield int64(len(parts))
        for part in parts:
            if part is None:
                raise PayloadMissing("no payload to identify", hint="send the item with its payload")
            if reason := unusable(part):
                raise BadPayload(reason, hint="send a dense tensor")
            assert isinstance(part, Tensor)
            yield from self.tensor(part, read)

    def tensor(self, tensor: Tensor, read: bool) -> Iterator[bytes]:
        yield str(tensor.dtype).removeprefix("torch.").encode()
        yield int64(*tensor.shape)
        yield self.content(tensor) if read else b""

    def content(self, tensor: Tensor) -> bytes:
        if id(tensor) in self.known:
            return self.known[id(tensor)]
        data = raw_bytes(tensor)
        return blake3(data.data, max_threads=THREADS if data.nbytes >= THREADS_PAY_FROM else 1).digest()

    def extras(self, item: Item) -> Iterator[bytes]:
        affecting = {name: extra.value for name, extra in item.extras.items() if extra.affects_rows}
        yield int64(len(affecting))
        for name in sorted(affecting):
            kind, value = self.extra(name, affecting[name])
            yield utf8(name)
            yield kind
            yield value

    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        """The type and the value of one extra."""
        if isinstance(value, bool):
            return b"bool", bytes([value])
        if isinstance(value, int):
            return b"int", decimal(value)
        if isinstance(value, float):
            return b"float", struct.pack("<d", value)
        if isinstance(value, str):
            return b"str", utf8(value)
        if isinstance(value, bytes):
            return b"bytes", value
        if reason := unusable(value):
            raise BadExtra(f"extra {name!r}: {reason}", hint="bool, int, float, str, bytes or a CPU tensor")
        assert isinstance(value, Tensor)
        fields = self.tensor(value, read=True)
        return b"tensor", b"".join(len(field).to_bytes(8, "little") + field for field in fields)

    def caller_key(self, item: Item) -> Iterator[bytes]:
        given = self.given(item)
        if given is None:
            yield b""
            return
        yield given.trust.value.encode()
        yield utf8(given.tenant)
        yield utf8(given.key)

    def given(self, item: Item) -> CallerKey | None:
        if len(item.given) > 1:
            raise BadExtra(f"{len(item.given)} caller keys for one image", hint="one key for each image")
        return item.given[0] if item.given else None


def prefix_keys(identity: Identity, rows: int) -> NDArray[np.int64]:
    """One int64 for each row of an item, outside [0, 2^31), where text ids are."""
    stream = blake3(PREFIX + identity.digest).digest(length=8 * rows)
    keys = np.frombuffer(stream, dtype="<i8").astype(np.int64)
    keys[(keys >= 0) & (keys < 1 << 31)] |= SIGN
    return keys
