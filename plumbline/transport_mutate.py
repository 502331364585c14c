"""Changes messages: as msgpack, whose parts stay well formed while what they say goes wrong, or as mere bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import msgspec

from plumbline.interface import Modality, Source, Trust
from plumbline.transport_faulty import spoiled

_HEAD = 8
"""At most so many bytes come before the msgpack."""

_INTEGERS = (0, 1, 2, -1, 63, 64, 65, 255, 256, 1 << 31, 1 << 32, 1 << 61, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63,
             (1 << 64) - 1, -(1 << 63), 3 << 30, 1 << 16)  # fmt: skip
_DTYPES = ("float32", "bfloat16", "float64", "bool", "uint8", "int64", "complex128", "complex32", "float4_e2m1fn_x2",
           "float8_e8m0fnu", "quint8", "quint4x2", "qint32", "bits8", "float32 ", "Tensor", "bytes", "int")  # fmt: skip
_NAMES = (*_DTYPES, *(member.value for kind in (Modality, Source, Trust) for member in kind), "", "\x00", "x" * 300)
_OTHERS: tuple[Any, ...] = (None, True, False, 1.5, float("nan"), float("inf"), "", b"", b"\xff" * 8, [], {}, [[]],
                             {"": None}, [0, 0])  # fmt: skip
_RUNS = (b"\x91" * 6000, b"\x81\xa1a" * 3000, b"\xdd\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
         b"\xc9\x00\x00\x00\x04\x01", b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\x00" * 7, b"\xc1", b"\xd9\x02\xed\xa0")  # fmt: skip


def structure_of(message: bytes) -> tuple[bytes, Any] | None:
    """What comes before the msgpack, and what the msgpack says; None for anything else."""
    for at in range(min(_HEAD, len(message))):
        try:
            tree = msgspec.msgpack.decode(message[at:])
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(tree, list | dict):
            return message[:at], tree
    return None


def nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree: the container, and the index or key in it."""
    open_ = [tree]
    while open_:
        container = open_.pop()
        places: list[Any] = list(range(len(container))) if isinstance(container, list) else list(container)
        for place in places:
            yield container, place
            if isinstance(container[place], list | dict):
                open_.append(container[place])


def mutated(message: bytes, rng: random.Random) -> bytes:
    """One to four changes, most of them of the structure. The same for the same state of ``rng``."""
    found = structure_of(message) if rng.random() < 0.9 else None
    if found is None:
        return spliced(message, rng)
    head, tree = found
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(nodes(tree))
        if places:
            container, place = rng.choice(places)
            _change(container, place, places, rng)
    try:
        changed = head + msgspec.msgpack.encode(tree)
    except (ValueError, TypeError, OverflowError, RecursionError):  # integers beyond 64 bits, keys of several types
        return spliced(message, rng)
    return spliced(changed, rng) if rng.random() < 0.1 else changed


def spliced(message: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut, repeated, or replaced by the beginning of something long or deep."""
    if rng.random() < 0.5:
        return spoiled(message, rng.randrange(10**6))
    at = rng.randrange(len(message) + 1)
    return message[:at] + rng.choice(_RUNS) + message[at + rng.choice((0, 1, 4, 9)) :]


def _change(container: Any, place: Any, places: list[tuple[Any, Any]], rng: random.Random) -> None:
    """One place: moved, doubled, left out, exchanged with another, or said otherwise."""
    how = rng.randrange(10)
    other, there = rng.choice(places)
    if how < 2:  # copies, as a list that holds itself has no end
        here = copy.deepcopy(container[place])
        container[place] = copy.deepcopy(other[there])
        if how:
            other[there] = here
    elif how == 2:
        del container[place]
    elif how == 3 and isinstance(container, list):
        container.insert(place, copy.deepcopy(container[place]))
    elif how == 3:
        container[rng.choice(_NAMES)] = container.pop(place)
    elif how == 4:
        container[place] = copy.deepcopy(rng.choice(_OTHERS))
    else:
        container[place] = _said_otherwise(container[place], rng)


def _said_otherwise(value: Any, rng: random.Random) -> Any:
    """Another value of the same type: a length, an offset, a name, a count."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = (value + 1, value - 1, value * 2, value ^ 1, value + 256, value + 4096, -value)
        return rng.choice(_INTEGERS if rng.random() < 0.5 else near)
    if isinstance(value, float):
        return rng.choice((0.0, -0.0, 1e308, float("nan"), -value))
    if isinstance(value, str):
        return rng.choice((*_NAMES, value + "x", value[:-1], value.upper()))
    if isinstance(value, bytes):
        return rng.choice((value[:-1], value + b"\0", value[:-8], value + bytes(8), value[::-1], b"\xff" * len(value)))
    if isinstance(value, list):
        return rng.choice((value[::-1], value * 2, value[:-1], [*value, 0], [value], [*value, *[1] * 70]))
    return [value]
