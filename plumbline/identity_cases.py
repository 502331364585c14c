"""Items for ``identify`` alone: drawn in families of near-duplicates, of values that workloads for a tower do not have.

Each is described in plain values, so that what must be equal and what must differ is known without any hash.
"""

from __future__ import annotations

import dataclasses
import struct
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from hypothesis import strategies as st
from torch import Tensor

from plumbline.build import with_strides
from plumbline.interface import CallerKey, Capability, Extra, Item, Modality, Source, Trust

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Bits:
    """A tensor of ``dtype`` with these bytes in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    raw: bytes

    def __repr__(self) -> str:
        return f"{self.dtype} {self.shape} {self.raw[:24].hex()}{'...' if len(self.raw) > 24 else ''}"

    def tensor(self) -> Tensor:
        whole = torch.frombuffer(bytearray(self.raw), dtype=torch.uint8) if self.raw else torch.empty(0).byte()
        return whole.view(getattr(torch, self.dtype)).reshape(self.shape)


Value: TypeAlias = bool | int | float | str | bytes | Bits


@dataclass(frozen=True, eq=False)
class Named:
    """An extra."""

    name: str
    value: Value
    affects_rows: bool = True


@dataclass(frozen=True, eq=False)
class Described:
    """One item. parts: its payload; alone: one part is a bare tensor, not a tuple of one. given: trust, tenant and key."""

    parts: tuple[Bits, ...]
    modality: Modality = Modality.IMAGE
    source: Source = Source.PIXELS
    alone: bool = True
    strides: str = "contiguous"
    grid: tuple[int, int, int] | None = (1, 2, 2)
    extras: tuple[Named, ...] = ()
    given: tuple[Trust, str, str] | None = None

    def content(self) -> bytes:
        return b"".join(part.raw for part in self.parts)

    def noted(self) -> frozenset[object]:
        """What must not count."""
        return frozenset((e.name, _typed(e.value)) for e in self.extras if not e.affects_rows)

    def truth(self) -> tuple[object, ...]:
        """Equal exactly where the items are."""
        trusted = self.given is not None and self.given[0] is Trust.TRUSTED
        parts = tuple((p.dtype, p.shape, b"" if trusted else p.raw) for p in self.parts)
        extras = frozenset((e.name, _typed(e.value)) for e in self.extras if e.affects_rows)
        return self.source is Source.PRECOMPUTED, self.modality, self.grid, parts, extras, self.given

    def item(self, tensors: dict[tuple[Bits, str], Tensor]) -> Item:
        """tensors: made before; equal parts are one object."""
        made = tuple(
            tensors.setdefault((p, self.strides), with_strides(p.tensor(), self.strides) if p.raw else p.tensor())
            for p in self.parts
        )
        values = {e.name: e.value.tensor() if isinstance(e.value, Bits) else e.value for e in self.extras}
        return Item(
            self.modality,
            self.source,
            made[0] if self.alone and len(made) == 1 else made,
            (),
            torch.tensor([self.grid]) if self.grid else None,
            {e.name: Extra(values[e.name], e.affects_rows) for e in self.extras},
            (CallerKey(self.given[1], self.given[2], self.given[0]),) if self.given else (),
        )


@dataclass(frozen=True, repr=False)
class Family:
    """Items that are nearly the same. Too many to be printed."""

    members: list[Described]


def _typed(value: Value) -> tuple[object, ...]:
    return type(value).__name__, struct.pack("<d", value) if isinstance(value, float) else value


def difference(a: Described, b: Described) -> str:
    """The requirement by which two different items must not share a digest."""
    if bool(a.given) != bool(b.given):
        return "IDENT-010"
    if a.given and b.given and a.given[1] != b.given[1]:
        return "ISO-005"
    trusted = Trust.TRUSTED in ((a.given or (None,))[0], (b.given or (None,))[0])
    if a.given != b.given or trusted:
        return "IDENT-008"
    if a.content() == b.content():
        return "IDENT-004"
    return "IDENT-009" if a.given else "IDENT-003"


def sameness(a: Described, b: Described) -> str:
    """The requirement by which two equal items must have one digest."""
    if a.noted() != b.noted():
        return "IDENT-005"
    if a.source is not b.source:
        return "IDENT-006"
    return "IDENT-008" if a.content() != b.content() else "IDENT-002"


# ------------------------------------------------------------------------------------------------------------ drawing

_SHAPES = [(4, 3), (3, 4), (2, 6), (2, 2, 3), (12,), (1, 12)]
_BY_SIZE = [["float32", "int32"], ["bfloat16", "float16", "int16"], ["float64", "int64"], ["uint8", "int8"]]
_UUID = "123e4567-e89b-42d3-a456-426614174000"
_TEXTS = ["", "ab", "0", "Frame-01.png", _UUID, "ab" * 32, "k" * 300, "caf\u00e9 \ufb01", "https://x/y?z=%41#1"]
_NAMES = ["", "crop", "f", "fp", "fps"]
_VALUES: list[Value] = [0, 1, -1, 2**31, 2**63, True, False, 0.0, 0.5, 1.0, 29.97, 1e300, b"", b"a", b"\0", *_TEXTS]
_TENSORS = [
    *(Bits("float32", (2,), bytes(range(8))), Bits("int64", (1, 2), bytes(range(16)))),
    *(Bits("int64", (), bytes(8)), Bits("int64", (0,), b""), Bits("uint8", (1500,), bytes(1500))),
]


def _bits(draw: Draw, dtypes: Sequence[str], shape: tuple[int, ...]) -> Bits:
    dtype = draw(st.sampled_from(dtypes))
    count = torch.Size(shape).numel() * getattr(torch, dtype).itemsize
    seed = draw(st.sampled_from([0, 1, 2, 63]))
    return Bits(dtype, shape, bytes((seed * (17 * k + 1)) % 251 for k in range(count)))


@st.composite
def families(draw: Draw, topic: str, claims: frozenset[Capability]) -> Family:
    """An item, and what a careless identity takes for the same: equal in all but one thing, or in that as well."""
    tiles = Capability.TILES in claims
    shape = draw(st.sampled_from(_SHAPES)) if tiles else (4, 3)
    one = Described((_bits(draw, [dtype for group in _BY_SIZE for dtype in group], shape),))
    choices: list[tuple[Capability, dict[str, Any]]] = [
        (Capability.PRECOMPUTED, {"source": Source.PRECOMPUTED}),
        (Capability.VIDEO, {"modality": Modality.VIDEO}),
        (Capability.TILES, {"grid": None}),
        (Capability.TILES, {"parts": _halves(one.parts[0])}),
        (
            Capability.EXTRAS,
            {"extras": (Named(draw(st.sampled_from(_NAMES)), draw(st.sampled_from([*_VALUES, *_TENSORS]))),)},
        ),
        (Capability.CALLER_KEYS, {"given": (draw(st.sampled_from(list(Trust))), "t", draw(st.sampled_from(_TEXTS)))}),
    ]
    for needs, change in choices:
        if needs in claims and draw(st.booleans()):
            one = dataclasses.replace(one, **change)
    near, _ = TOPICS[topic]
    family = [one, *near(draw, one, claims)]
    if (
        Capability.CALLER_KEYS in claims and near is not _other_keys
    ):  # what a trusted key stands for, and what it does not
        family += [dataclasses.replace(other, given=(Trust.TRUSTED, "t", "k")) for other in family]
    return Family(family)


def _halves(bits: Bits) -> tuple[Bits, ...]:
    """Two parts of different sizes where there are three entries or more."""
    entries = bits.shape[0]
    if len(bits.shape) < 2 or entries < 2:
        return (bits,)
    at, each = (entries + 1) // 2, len(bits.raw) // entries
    cuts = ((at, bits.raw[: at * each]), (entries - at, bits.raw[at * each :]))
    return tuple(Bits(bits.dtype, (n, *bits.shape[1:]), raw) for n, raw in cuts)


def _near_bits(bits: Bits) -> list[Bits]:
    """One bit more or less in the first byte, the middle and the last; the same bytes in other shapes and of other types."""
    near = []
    for at in {0, len(bits.raw) // 2, len(bits.raw) - 1} if bits.raw else ():
        raw = bytearray(bits.raw)
        raw[at] ^= 1
        near.append(dataclasses.replace(bits, raw=bytes(raw)))
    count = torch.Size(bits.shape).numel()
    shapes = [*_SHAPES, (count,), (1, count), (count, 1)]
    near += [dataclasses.replace(bits, shape=s) for s in shapes if count and torch.Size(s).numel() == count]
    alike = next((group for group in _BY_SIZE if bits.dtype in group), [])
    return [*near, *(dataclasses.replace(bits, dtype=dtype) for dtype in alike)]


def _near_text(text: str) -> list[str]:
    """What a careless comparison takes for the same text."""
    half = len(text) // 2
    near = [text.swapcase(), text + " ", " " + text, text + "\0b", text + "\n", text + "0", "0" + text, "0x" + text]
    near += [text.replace("-", ""), text[:half] + "z" + text[half + 1 :], text[:-1] + "z", "z" + text[1:], text[:-1]]
    near += [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC")]
    return [*near, text.replace("%41", "A"), text.rsplit("/", 1)[-1], "{" + text + "}", ""]


def _near_values(value: Value) -> list[Value]:
    """What a careless encoding takes for the same value."""
    if isinstance(value, Bits):
        return [*_near_bits(value), value.raw]
    if isinstance(value, str):
        return [*_near_text(value), value.encode()]
    if isinstance(value, bytes):
        return [value + b"\0", value.decode("latin-1"), b"0" + value]
    if isinstance(value, float):
        return [
            value * (1 + 2**-40),
            value * (1 + 1e-7),
            str(value),
            *([int(value), -value] if abs(value) < 1e9 else []),
        ]
    whole = int(value)
    near: list[Value] = [whole, bool(whole), float(whole), str(whole), whole + 2**32, whole - 2**64, -whole]
    return [*near, Bits("int64", (), (whole % 2**64).to_bytes(8, "little"))]


Near = Callable[[Draw, Described, frozenset[Capability]], list[Described]]


def _other_contents(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    first, *rest = one.parts
    near = [bits for bits in _near_bits(first) if not rest or (bits.dtype, bits.shape) == (first.dtype, first.shape)]
    return [dataclasses.replace(one, parts=(bits, *rest)) for bits in near]


def _other_divisions(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    first, *rest = one.parts
    empty = [Bits(first.dtype, (0, *first.shape[1:]), b"")] if first.shape else []
    near = [(first, *empty, *rest), (*empty, *one.parts)]
    if rest:
        whole = Bits(first.dtype, (sum(p.shape[0] for p in one.parts), *first.shape[1:]), one.content())
        near += [one.parts[::-1], (whole,), (*one.parts, one.parts[-1]), one.parts[:1]]
    else:
        near.append(_halves(first))
    in_a_tuple = [] if rest else [dataclasses.replace(one, alone=False)]
    return [*in_a_tuple, *(dataclasses.replace(one, parts=parts) for parts in near)]


def _other_objects(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    """Of the same content."""
    strides = ["columns", "gaps", "offset"] if all(len(p.shape) > 1 for p in one.parts) else []
    found = [dataclasses.replace(one, strides=s) for s in strides]
    if one.source is not Source.PRECOMPUTED:
        found.append(dataclasses.replace(one, source=Source.PREPROCESSED))
    return found


def _other_metadata(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    near = [dataclasses.replace(one, grid=grid) for grid in [(1, 2, 2), (1, 1, 4), (1, 4, 1), (4, 1, 1), (2, 2, 1)]]
    if Capability.VIDEO in claims:
        near += [dataclasses.replace(one, modality=m) for m in (Modality.IMAGE, Modality.VIDEO)]
    if Capability.PRECOMPUTED in claims:
        near += [dataclasses.replace(one, source=s) for s in (Source.PIXELS, Source.PRECOMPUTED)]
    return near


def _other_values(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    """Of one extra."""
    near = [near for value in (*_VALUES, *_TENSORS) for near in (value, *_near_values(value))]
    return [dataclasses.replace(one, extras=(Named("fps", value),)) for value in near]


def _other_extras(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    """One more or less, and one changed in its name or its mark."""
    first = one.extras[0] if one.extras else Named("fps", draw(st.sampled_from([*_VALUES, *_TENSORS])))
    sets: list[tuple[Named, ...]] = [(first,), (dataclasses.replace(first, affects_rows=False),), ()]
    sets += [(dataclasses.replace(first, name=name),) for name in (*_NAMES, first.name.upper(), first.name + " ")]
    sets += [(first, Named("n", first.value, mark)) for mark in (True, False)]
    sets.append((Named("n", first.value), first))
    if isinstance(first.value, str):
        whole = first.name + first.value
        sets += [(Named(whole[:at], whole[at:]),) for at in range(min(4, len(whole)))]
    return [dataclasses.replace(one, extras=extras) for extras in sets]


def _other_keys(draw: Draw, one: Described, claims: frozenset[Capability]) -> list[Described]:
    """No key, and keys that are nearly the same in their tenant, their name or their trust."""
    names: list[tuple[str, str]] = []
    for text in _TEXTS:
        names += [("t", near) for near in _near_text(text)] + [(near, "k") for near in _near_text(text)]
        names += [("t", text), (text, "t"), ("t" + text[:1], text[1:]), ("", "t" + text)]
    for mark in ("/", ":", "|", "-", "_", ".", ",", " ", "\0", "\n"):  # what joins two names into one
        names += [(f"t{mark}u", "k"), ("t", f"u{mark}k"), ("", f"t{mark}u{mark}k"), (f"t{mark}u{mark}k", "")]
    trust = draw(st.sampled_from(list(Trust)))
    given = [(trust, *name) for name in names] + [(other, *names[-1]) for other in Trust]
    return [dataclasses.replace(one, given=key) for key in (*given, None)]


TOPICS: dict[str, tuple[Near, frozenset[Capability]]] = {
    "object": (_other_objects, frozenset()),
    "division": (_other_divisions, frozenset({Capability.TILES})),
    "metadata": (_other_metadata, frozenset({Capability.TILES})),
    "content": (_other_contents, frozenset({Capability.TILES})),
    "extras": (_other_extras, frozenset({Capability.EXTRAS})),
    "an extra's value": (_other_values, frozenset({Capability.EXTRAS})),
    "caller key": (_other_keys, frozenset({Capability.CALLER_KEYS})),
}
"""In what the items of a family differ, and what that takes."""
