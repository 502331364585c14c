"""How Hypothesis draws transport cases: small pools, few publications, and schedules that come back to the same ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from plumbline.transport_faults import FaultCase
from plumbline.transport_faulty import FAULTS
from plumbline.transport_scenario import DIGESTS, DRESSES, KINDS, Act, Delivery, TransportCase, WireItem, WireRequest

Draw = Callable[[st.SearchStrategy[Any]], Any]

_RARELY = st.sampled_from([False] * 7 + [True])
_ROWS = [(4,), (16,), (1,), (40,), (0,), (4, 8), (2, 0, 3), (64,), (200,)]
_DTYPES = ["float32", "float32", "bfloat16", "uint8", "float16", "int16", "float64", "int32", "bool", "complex64"]
_STRIDES = ["contiguous", "contiguous", "columns", "gaps", "offset", "odd", "odd byte", "conjugate", "negative"]
_OFTEN = ["publish"] * 5 + ["deliver"] * 6 + ["open"] * 5 + ["read"] * 2 + ["release"] * 4
_WEIGHTED = [*_OFTEN, *KINDS, *KINDS]
_WIDTHS = [16, 16, 16, 1, 3, 7]
_TEXTS = st.sampled_from([""] * 8 + ["e\u0301", "\u00e9", " ", "a\0", "\ufeff", "\n", "ß", "\U0001f5bc", "k" * 40])
"""What a format or a table that means well would change."""
_READERS = [*range(16), 2**8 + 1, 2**9 - 1]
"""By bits: nobody, any of the first four ranks, all, or the ninth too."""
_STARTS = [0.0, 0.0, 1.7e9, *(2**bits / 1000 - 20 for bits in (31, 32)), *(2.0**bits - 20 for bits in (31, 32))]
"""What a clock shows: nothing, the time of the day, and a moment before words of seconds or milliseconds are full."""
_CYCLE = ("publish", "deliver", "open", "release")
_ENDS = [
    *([("cancel", 0)], [("lose_reader", 0)], [("advance", 3), ("collect", 0)]),
    *(
        [("advance", 3), ("beat", 0), ("collect", 0)],
        [("close_worker", 0), ("restart_worker", 0)],
        [("kill_worker", 0), ("lose_worker", 0)],
    ),
    *([("kill_reader", 0), ("lose_reader", 0), ("lose_reader", 0)], [("close_reader", 0), ("collect", 0)]),
    *([("kill_reader", 0), ("restart_reader", 0)], [("kill_worker", 0), ("restart_worker", 0)]),
]
"""What ends a lease under a reader, or seems to."""
_AFTER = [
    *([("read", 0)], [("read", 0)], [("release", 0), ("publish", 0), ("check", 0)]),
    *([("deliver", 0), ("open", 0)], [("deliver", 0), ("deliver", 0), ("release", 0), ("publish", 0), ("open", 0)]),
]
"""What happens once the space is another's."""


@st.composite
def wire_items(draw: Draw) -> WireItem:
    return WireItem(
        seed=draw(st.integers(0, 3)),
        rows=draw(st.sampled_from(_ROWS)),
        dtype=draw(st.sampled_from(_DTYPES)),
        strides=draw(st.sampled_from(_STRIDES)),
        dress=draw(st.integers(0, DRESSES - 1)),
        held=draw(_RARELY),
        on_device=draw(st.booleans()),
        width=draw(st.sampled_from(_WIDTHS)),
        text=draw(_TEXTS),
        digest=draw(st.integers(0, len(DIGESTS) - 1)),
    )


@st.composite
def wire_requests(draw: Draw, in_place: st.SearchStrategy[bool] = _RARELY) -> WireRequest:
    items = draw(st.lists(wire_items(), min_size=draw(st.sampled_from([1, 1, 1, 0])), max_size=3))
    if draw(_RARELY):
        items = [dataclasses.replace(item, held=True) for item in items]
    return WireRequest(
        items=tuple(items),
        readers=draw(st.sampled_from(_READERS)),
        in_place=draw(in_place),
        fault=draw(st.sampled_from(FAULTS)) if draw(_RARELY) else "",
        name=draw(_TEXTS),
    )


Kinds = list[tuple[str, int]]
"""Of acts: each with its request or publication, or with its own step of the clock or rank."""


def _begun(count: int, what: int) -> Kinds:
    """The first acts of a cycle."""
    return [(kind, what if kind == "publish" else 0) for kind in _CYCLE[:count]]


def _acts(who: int, kinds: Kinds, own: tuple[str, ...] = ("advance",)) -> list[Act]:
    """own: kinds whose number says who."""
    return [Act(kind, number) if kind in own else Act(kind, who, number) for kind, number in kinds]


@st.composite
def transport_cases(draw: Draw) -> TransportCase:
    """Most acts come as cycles of one publication: to its end, to a fence under its reader and the reuse of its space, or
    to a cancel and a release that come too late, payload by payload, beside reserved room, or while time passes between
    signs of life. The others come one by one."""
    acts: list[Act] = []
    for _ in range(draw(st.integers(1, 12))):
        who, what = draw(st.integers(0, 3)), draw(st.integers(0, 31))
        form = draw(st.sampled_from(["cycle", "cycle", "act", "act", "fence", "late", "parts", "room", "time"]))
        if form == "fence":
            begun = _begun(draw(st.sampled_from([3, 3, 2, 1])), what)
            after = [("publish", what), *draw(st.sampled_from(_AFTER))]
            acts += _acts(who, [*begun, *draw(st.sampled_from(_ENDS)), *after])
        elif form == "parts":
            again = [("release_part", what), ("publish", what + 1), ("open", 0), ("release_part", 0), ("publish", what)]
            ends = [("release_part", what), *draw(st.sampled_from(_ENDS)), ("check", 0)]
            acts += _acts(who, [*_begun(2, what), *draw(st.sampled_from([again, ends]))])
        elif form == "room":
            ends = draw(st.sampled_from([[("cancel", 0)], [(k, 0) for k in _CYCLE[1:]], [(k, 0) for k in _CYCLE[1:3]]]))
            while_kept = draw(st.sampled_from([[("collect", 0)], [("advance", 3)]]))
            after = [("publish", what), ("publish", what + 1), ("collect", 0), ("deliver", 0), ("open", 0)]
            acts += _acts(who, [("publish", what), ("keep", what + 1), *ends, *while_kept, *after])
        elif form == "time":
            passes = [("advance", 0), ("advance", 0), ("advance", 1), ("beat", 0), ("beat", 1), ("collect", 0)]
            between = draw(st.lists(st.sampled_from(passes), min_size=3, max_size=8))
            kinds = [*_begun(2, what), ("beat", 0), *between, ("collect", 0), ("open", 0)]
            acts += _acts(who, kinds, own=("advance", "beat"))
        elif form == "late":
            again = [("collect", 0), ("publish", what), ("cancel", 1), ("release", 0), ("deliver", 0), ("open", 0)]
            acts += _acts(who, [*_begun(4, what), *again])
        elif form == "cycle":
            acts += _acts(who, _begun(draw(st.sampled_from([4, 4, 3, 2])), what))
        else:
            acts.append(Act(draw(st.sampled_from(_WEIGHTED)), who, what))
    return TransportCase(
        workers=draw(st.sampled_from([1, 1, 2, 3])),
        ranks=draw(st.sampled_from([1, 2, 2, 3, 4, 2, 3, 9])),
        pool=draw(st.sampled_from([4096, 8192, 16384, 65536, 1024, 0])),
        requests=tuple(draw(st.lists(wire_requests(), min_size=1, max_size=3))),
        acts=tuple(acts),
        start=draw(st.sampled_from(_STARTS)),
    )


def deliveries() -> st.SearchStrategy[Delivery]:
    return st.builds(
        Delivery,
        workers=st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple),
        requests=st.lists(wire_requests(st.booleans()), min_size=1, max_size=5).map(tuple),
    )


@st.composite
def fault_cases(draw: Draw, lines: int) -> FaultCase:
    """lines: about as many as an actor runs, so that a stop falls anywhere among them."""
    ranks = draw(st.sampled_from([2, 1, 3]))
    number = st.integers(0, 4)
    switches = st.tuples(st.integers(0, 40), st.integers(0, ranks))
    stops = st.tuples(st.integers(0, ranks), st.integers(1, max(lines, 1)))
    return FaultCase(
        ranks=ranks,
        pool=draw(st.sampled_from([2048, 1024, 4096])),
        rows=tuple(draw(st.lists(st.sampled_from([4, 1, 8, 12]), min_size=1, max_size=4))),
        cancels=tuple(draw(st.lists(number, max_size=2, unique=True))) if draw(_RARELY) else (),
        mistaken=tuple(draw(st.lists(number, max_size=2, unique=True))) if draw(_RARELY) else (),
        silent=draw(_RARELY),
        switches=tuple(draw(st.lists(switches, max_size=12))),
        stops=tuple(draw(st.lists(stops, max_size=2))),
    )
