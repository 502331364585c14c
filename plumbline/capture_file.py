"""Reads what ``capture.py`` wrote. The events below are the format; ``capture.schema.json`` is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from plumbline.capture import VERSION
from plumbline.interface import PlumblineError

LINE_BYTES = 1 << 24
"""A longer line is no event."""

Name = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Count = Annotated[int, Meta(ge=0, le=1 << 24)]
Size = Annotated[int, Meta(ge=1, le=1 << 24)]
Position = Annotated[int, Meta(ge=-(1 << 24), le=1 << 24)]
Dtype = Literal[
    "float32",
    "int32",
    "bfloat16",
    "float16",
    "int16",
    "float64",
    "uint8",
    "float8_e4m3fn",
    "float8_e5m2",
    "uint16",
    "uint32",
    "uint64",
]


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadTrace(PlumblineError):
    """The file is no trace of ``plumbline.capture``, or was changed since."""

    advice = "give the folder or a file that plumbline.capture wrote, as it wrote it"


class ForeignTrace(BadTrace):
    """The trace is of a version of the format that is not read here."""

    advice = f"this reads version {VERSION}: use the plumbline whose capture.py wrote the trace"


class Event(Struct, tag_field="event", forbid_unknown_fields=True, kw_only=True):
    """at: microseconds of this host's monotonic clock."""

    at: Annotated[int, Meta(ge=0)]


class Header(Event, tag="plumbline trace"):
    """The first line of every file. limit: bytes that the file may have."""

    version: Literal[1]
    pid: int
    limit: int


class Engine(Event, tag="engine"):
    """The tower's layout and the budgets. Sizes are the engine's own, in elements and rows."""

    name: str
    cache_rows: Annotated[int, Meta(ge=0)]
    patches_per_call: Annotated[int, Meta(ge=0)]
    hidden: Size
    patch_shape: Annotated[tuple[Size, ...], Meta(max_length=8)]
    image: Literal["grid", "tiles"]
    merge: Annotated[int, Meta(ge=1, le=64)]
    rows_per_tile: Annotated[int, Meta(ge=1, le=1 << 16)]
    pools_frames: bool
    side_levels: Annotated[int, Meta(ge=0, le=64)]
    row_dtype: str
    evictions: bool


class Item(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One image, video or clip. extras: (name, value, whether it affects rows)."""

    modality: Literal["image", "video", "audio"]
    source: Literal["pixels", "preprocessed", "precomputed"]
    dtype: Dtype
    trusted: bool
    digest: Name
    spans: tuple[tuple[Position, Position], ...]
    grid: tuple[Size, Size, Size] | None
    parts: tuple[Count, ...]
    extras: tuple[tuple[str, Name, bool], ...]
    pad: Name | None = None
    tenant: Name | None = None
    key: Name | None = None

    @property
    def rows(self) -> int:
        return sum(hi - lo for lo, hi in self.spans)

    @property
    def metadata(self) -> tuple[object, ...]:
        """Everything of an item that belongs to its identity, but its content and its caller's name."""
        affecting = sorted(extra for extra in self.extras if extra[2])
        return self.modality, self.source == "precomputed", self.grid, self.parts, self.dtype, *affecting


class Request(Event, tag="request"):
    """Admitted."""

    id: Name
    tokens: Size
    items: tuple[Item, ...]


class Step(Event, tag="step"):
    """chunks: (request, lo, hi)."""

    chunks: tuple[tuple[Name, Position, Position], ...]


class Results(Event, tag="results"):
    """Of the last step: (request, rows that it was given or the name of an error)."""

    results: tuple[tuple[Name, Count | str], ...]


class Settled(Event, tag="settled"):
    """Of the oldest step that was not yet."""


class Encoded(Event, tag="encoded"):
    """One call of the encoder: (digest, rows), null where it failed or where the item is not known."""

    items: tuple[tuple[Name | None, Count | None], ...]


class Cache(Event, tag="cache"):
    what: Literal["hit", "miss", "put", "refuse", "evict", "clear"]
    digest: Name | None
    rows: Count


class Retract(Event, tag="retract"):
    id: Name


class Abort(Event, tag="abort"):
    id: Name


class Finish(Event, tag="finish"):
    id: Name


class Epoch(Event, tag="epoch"):
    epoch: Annotated[int, Meta(ge=0, le=1 << 31)]


class End(Event, tag="end"):
    """The last line of a capture that ended by itself. why: "closed", "limit", or the name of an exception."""

    why: str


AnyEvent = (
    Header | Engine | Request | Step | Results | Settled | Encoded | Cache | Retract | Abort | Finish | Epoch | End
)
_event = msgspec.json.Decoder(AnyEvent)


class Recording(Struct):
    """What was captured. events: (file:line, event), in the order of their time. notes: what is not whole."""

    engine: Engine
    events: list[tuple[str, AnyEvent]]
    notes: list[str]

    def outcomes(self) -> dict[str, list[int | str | None]]:
        """By the place of a step: what each of its chunks was given, None where that was not captured."""
        found: dict[str, list[int | str | None]] = {}
        names: list[str] = []
        latest: list[int | str | None] = []
        for where, event in self.events:
            if isinstance(event, Step):
                names = [name for name, _, _ in event.chunks]
                latest = found[where] = [None] * len(names)
            elif isinstance(event, Results) and [name for name, _ in event.results] == names:
                latest[:] = [outcome for _, outcome in event.results]
            elif isinstance(event, Results):  # of some of them: what was taken back afterwards
                taken = dict(event.results)
                latest[:] = [taken.get(name, before) for name, before in zip(names, latest, strict=True)]
        return found


def read_trace(path: Path) -> Recording:
    """A file, or all ``*.jsonl`` of a folder as one trace. Raises BadTrace."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise BadTrace("the folder has no *.jsonl", where=str(path))
    notes: list[str] = []
    events = [pair for file in files for pair in _events(file, notes)]
    events.sort(key=lambda pair: pair[1].at)
    engines = [event for _, event in events if isinstance(event, Engine)]
    if not engines:
        raise BadTrace("no event says what the engine is", where=str(path), hint="call capture.engine(...) first")
    if any(msgspec.structs.replace(e, at=0) != msgspec.structs.replace(engines[0], at=0) for e in engines):
        hint = "give each engine, and each rank that runs steps, a folder of its own"
        raise BadTrace("the files are of several engines", where=str(path), hint=hint)
    return Recording(engines[0], events, notes)


def _events(file: Path, notes: list[str]) -> Iterator[tuple[str, AnyEvent]]:
    whole = ""
    for number, line in enumerate(_lines(file), 1):
        where = f"{file.name}:{number}"
        if number == 1:
            _check_version(line, where)
        if not line.endswith(b"\n"):
            notes.append(f"{where}: cut off after {len(line)} bytes, and left out: the process ended while it wrote")
            break
        try:
            event = _event.decode(line)
        except msgspec.ValidationError as error:
            raise BadTrace(str(error), where=where) from error
        except UNREADABLE as error:
            raise BadTrace(f"not JSON: {error}", where=where) from error
        whole = event.why if isinstance(event, End) else ""
        yield where, event
    if whole != "closed":
        why = (
            f"it ended by {whole!r}"
            if whole
            else "the process ended without closing it, and its last events may be missing"
        )
        notes.append(f"{file.name} is the beginning of what happened: {why}")


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            while line := opened.readline(LINE_BYTES):
                if len(line) == LINE_BYTES:
                    raise BadTrace(f"a line of more than {LINE_BYTES} bytes", where=str(file))
                yield line
    except OSError as error:
        raise BadTrace(f"cannot be read: {error.strerror}", where=str(file)) from error


def _check_version(line: bytes, where: str) -> None:
    """Before anything else is asked of the file."""
    try:
        found = msgspec.json.decode(line)
        kind, version = found["event"], found["version"]
    except (*UNREADABLE, KeyError, TypeError):
        kind = version = None
    if kind != Header.__struct_config__.tag:
        raise BadTrace("the first line is not that of a trace", where=where)
    if version != VERSION:
        raise ForeignTrace(f"version {version!r}", where=where)


def schema() -> dict[str, object]:
    """JSON schema of one line."""
    (whole,), parts = msgspec.json.schema_components([AnyEvent], ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "$defs": parts}


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(schema(), order="sorted")).decode())
