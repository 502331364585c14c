"""Workloads as recipes of small integers: what a case is, how it is saved, and the payload bits that it stands for.

A scenario holds no tensor, so it shrinks, prints and replays. ``build.py`` makes requests of it, ``closed_form.py``
predicts their rows, ``engine.py`` runs it.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

MASK64 = (1 << 64) - 1
ITEMSIZE = {"float32": 4, "int32": 4, "bfloat16": 2, "float16": 2, "int16": 2, "float64": 8, "uint8": 1}
ITEMSIZE |= {"float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "uint32": 4, "uint64": 8}


@dataclass(frozen=True)
class TowerRecipe:
    """An exact tower. image: "grid" or "tiles". vocabulary: 64 text ids; placeholders lie inside or beyond it.
    pools_frames: where there is a grid, all frames share the rows of one."""

    hidden: int = 8
    side_levels: int = 0
    image: str = "grid"
    merge: int = 1
    patch_shape: tuple[int, ...] = (3,)
    rows_per_tile: int = 1
    row_dtype: str = "float32"
    shared_placeholder: bool = False
    placeholder_beyond_vocabulary: bool = False
    moves_input: bool = False
    pools_frames: bool = False


@dataclass(frozen=True)
class Content:
    """Bits of a payload: a seed (-1: zeros), then one edit that makes a near-duplicate of the unedited payload."""

    seed: int = 0
    edit: str = "none"
    at: int = 0


EDITS = ("none", "flip", "swap", "reverse", "halves", "sum", "xor", "high", "sign")


@dataclass(frozen=True, eq=False)
class ExtraRecipe:
    """value: int, float, str, or a tuple of ints that stands for an int64 tensor. 1 and 1.0 are different values."""

    name: str
    value: int | float | str | tuple[int, ...]
    affects_rows: bool = True

    @property
    def key(self) -> tuple[object, ...]:
        return self.name, type(self.value).__name__, self.value, self.affects_rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExtraRecipe) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class GivenRecipe:
    tenant: str
    key: str
    trusted: bool


@dataclass(frozen=True)
class ItemRecipe:
    """One image, video or clip.

    grid: (t, h, w) in patches, or None. parts: dim 0 of each payload tensor. pieces: spans that its rows are cut into.
    span_order: how the spans are listed. strides: memory layout of the payload. fault: the tower raises on it.
    fence: the lazy payload is fenced off when it is first read. gone: it cannot be opened. on_device: a payload that is not
    lazy comes on the device of the run, if it has one.
    """

    modality: str = "image"
    source: str = "pixels"
    grid: tuple[int, int, int] | None = (1, 1, 1)
    parts: tuple[int, ...] = (1,)
    dtype: str = "float32"
    content: Content = Content()
    pieces: int = 1
    span_order: str = "ascending"
    strides: str = "contiguous"
    extras: tuple[ExtraRecipe, ...] = ()
    given: GivenRecipe | None = None
    fault: bool = False
    fence: bool = False
    gone: bool = False
    on_device: bool = False


@dataclass(frozen=True)
class RequestRecipe:
    """gaps: text tokens before each span, cycled. listing: rotation of the items as listed. weave: spans of different
    items take turns. bundle: neighbours that can share a bundle do. malformed: the name of a fault from malformed.py (the
    next one that applies), which befalls the item ``malformed_at``, counted around. tokens: where it is not 0, the prompt has
    so many, and the items lie at ``spans``, one tuple for each; nothing else then says where."""

    name: str = "r0"
    items: tuple[ItemRecipe, ...] = ()
    gaps: tuple[int, ...] = (1,)
    text: int = 0
    listing: int = 0
    weave: bool = False
    bundle: bool = False
    malformed: str = ""
    malformed_at: int = 0
    copies: int = 1
    tokens: int = 0
    spans: tuple[tuple[tuple[int, int], ...], ...] = ()


AFTER_FAILURE = -1


EPOCHS = (0, 1_000, 70_000)
"""Of weights: small ones alone are single objects in Python, so that two of them are one where they are equal."""


@dataclass(frozen=True)
class Op:
    """Something that happens before a step: abort, retract, epoch, bad_chunk, admit_twice, unknown, resubmit. With
    ``AFTER_FAILURE`` as its step: once a chunk failed that is to be sent again, the first time."""

    step: int
    kind: str
    request: int = 0

    @property
    def epoch(self) -> int:
        """Of an op of that kind."""
        return EPOCHS[self.request % len(EPOCHS)]


@dataclass(frozen=True)
class Act:
    """Something that a recorded engine did: admit, step, retract, finish, epoch. request: its index, or the epoch's number.
    chunks: (request, lo, hi) of a step; request -1: one that nobody admitted."""

    kind: str
    request: int = 0
    chunks: tuple[tuple[int, int, int], ...] = ()


ITEM_PATCHES = 96
"""The admission bound for one item in every generated scenario."""


@dataclass(frozen=True)
class Scenario:
    """chunks: sizes of successive chunks, cycled. running: requests prefilled together. seats: how
    many of them have a chunk in one step, in turns, as a budget of tokens makes it. ahead: how many more are admitted
    and wait. cache_rows: cache budget, in rows
    with their side rows. transport: lazy payloads come by the implementation's own transport, except in requests with a
    fence. eager_retract: the engine retracts all requests at a change of epoch by itself. settle_late: each step is settled
    when the next one has begun. hiccups: tower calls, counted from 0, that raise whatever is in them. retries: how often a
    request whose chunk failed to be encoded sends it again. linger: for how many steps a request stays when it has all its
    rows, as while it decodes. script: what a recorded engine did, in order, to be done again;
    chunks, running, seats, ahead, prefix_cache, eager_retract, retries, linger and ops are then without effect."""

    tower: TowerRecipe = TowerRecipe()
    requests: tuple[RequestRecipe, ...] = ()
    chunks: tuple[int, ...] = (64,)
    running: int = 4
    seats: int = 4
    ahead: int = 0
    cache_rows: int = 64
    patches_per_call: int = 64
    prefix_cache: bool = False
    lazy: bool = False
    transport: bool = False
    prepare_together: bool = True
    eager_retract: bool = True
    settle_late: bool = False
    hiccups: tuple[int, ...] = ()
    retries: int = 0
    linger: int = 0
    ops: tuple[Op, ...] = ()
    script: tuple[Act, ...] = ()
    item_patches: int = ITEM_PATCHES

    @property
    def epochs(self) -> tuple[int, ...]:
        """Those that the weights are set to, in order."""
        if self.script:
            return tuple(act.request for act in self.script if act.kind == "epoch")
        return tuple(op.epoch for op in self.ops if op.kind == "epoch")

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def size(self) -> int:
        """Length of what differs from the defaults: how much a reader has to take in."""
        return len(repr(compact(self)))


T = TypeVar("T")


def seated(due: list[T], seats: int, step: int) -> list[T]:
    """Who of ``due`` has a chunk in this step: all, or as many as there are seats, in turns."""
    if len(due) <= seats:
        return due
    first = step * seats % len(due)
    return (due[first:] + due[:first])[:seats]


VOCABULARY = 64


def compact(value: object) -> object:
    """The recipe without its defaults, for printing."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = {}
        for f in dataclasses.fields(value):
            v = getattr(value, f.name)
            if v != f.default:
                shown[f.name] = compact(v)
        return shown
    if isinstance(value, tuple):
        return [compact(v) for v in value]
    return value


def loads(text: str) -> Scenario:
    """A scenario from its JSON. Unknown fields are an error, so that an old file does not silently mean something else."""
    return typing.cast(Scenario, decode(Scenario, json.loads(text)))


def decode(kind: object, value: object) -> object:
    """A recipe from plain JSON data, by its type hints."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        assert isinstance(value, dict)
        unknown = set(value) - set(hints)
        if unknown:
            raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
        return kind(**{name: decode(hints[name], v) for name, v in value.items()})
    origin = typing.get_origin(kind)
    if origin is tuple and isinstance(value, list):
        arguments = typing.get_args(kind)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(decode(arguments[0], v) for v in value)
        return tuple(decode(k, v) for k, v in zip(arguments, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        for option in typing.get_args(kind):
            if dataclasses.is_dataclass(option) and isinstance(value, dict):
                return decode(option, value)
            if typing.get_origin(option) is tuple and isinstance(value, list):
                return decode(option, value)
    return value


def mix(z: int) -> int:
    """splitmix64's finaliser: 64 bits in, 64 well-mixed bits out."""
    z &= MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


@lru_cache(maxsize=4096)
def payload_bits(content: Content, patches: int, width: int, itemsize: int) -> tuple[tuple[int, ...], ...]:
    """The bit pattern of every element: [patches][width], each below 2 ** (8 * itemsize).

    The bytes, read in order, depend only on the seed and the number of bytes, not on how they are cut into patches and
    elements: so a reshape or another dtype of the same content has the same bytes.
    """
    total = patches * width * itemsize
    raw = bytearray()
    if content.seed >= 0:
        base = mix(content.seed * 0x9E3779B97F4A7C15 + 1)
        for word in range((total + 7) // 8):
            raw += mix(base + word).to_bytes(8, "little")
    raw = raw[:total] if raw else bytearray(total)
    step = width * itemsize
    rows = [bytes(raw[p * step : (p + 1) * step]) for p in range(patches)]
    _edit(rows, content, itemsize)
    return tuple(
        tuple(int.from_bytes(row[j * itemsize : (j + 1) * itemsize], "little") for j in range(width)) for row in rows
    )


def _edit(rows: list[bytes], content: Content, itemsize: int) -> None:
    """Near-duplicates that a weak hash takes for the original: a flipped bit, moved patches, equal sums and xors."""
    n, at = len(rows), content.at
    if not n or content.edit == "none":
        return
    i, j = at % n, (at + 1 + at // n) % n
    if content.edit == "swap":
        rows[i], rows[j] = rows[j], rows[i]
    elif content.edit == "reverse":
        rows.reverse()
    elif content.edit == "halves":
        rows[:] = rows[n // 2 :] + rows[: n // 2]
    else:
        flat = bytearray(b"".join(rows))
        a = (at * itemsize) % len(flat)
        b = (a + itemsize * (1 + at % 3)) % len(flat)
        if content.edit == "flip":
            flat[a] ^= 1
        elif content.edit == "high":
            flat[a + itemsize - 1] ^= 0x40
        elif content.edit == "sign":
            flat[a + itemsize - 1] ^= 0x80
        elif content.edit == "xor":
            flat[a] ^= 0x11
            flat[b] ^= 0x11 if a != b else 0
        elif content.edit == "sum" and a != b:
            shift = min(flat[a], 255 - flat[b], 1)
            flat[a] -= shift
            flat[b] += shift
        step = len(rows[0])
        rows[:] = [bytes(flat[p * step : (p + 1) * step]) for p in range(n)]
