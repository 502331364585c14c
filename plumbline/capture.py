"""A hook for any engine: writes what live traffic does to the vision path, as JSON lines, without pixels and without text.

    capture = Capture("/tmp/trace", salt=SALT)               # or capture_from_environment()
    capture.request(request_id, tokens, [ItemMeta("image", digest, spans, grid=(1, 4, 6), parts=(24,))])
    capture.step([(request_id, 0, 64)])

One file, standard library alone, so that it can be copied into an engine. Every name (request, digest, pad value, caller key,
tenant, value of an extra) is written as 64 bits of a keyed hash, whose key, the salt, is not written. Processes that see the
same traffic need the same salt. No call raises or waits for more than a write of its buffer: what goes wrong ends the capture,
which the file says. ``docs/capture.md`` says where to call it, ``capture_file.py`` reads what it wrote.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, Self

VERSION = 1
FOLDER_VARIABLE, SALT_VARIABLE = "PLUMBLINE_CAPTURE", "PLUMBLINE_CAPTURE_SALT"
BUFFER_BYTES = 1 << 16
_LAST_WORDS = 256
"""Bytes of the limit that are kept for the event that says why the capture ended."""

P = ParamSpec("P")
Data = dict[str, object]
Name = bytes | str | int | Sequence[int]
_json = json.JSONEncoder(separators=(",", ":")).encode
log = logging.getLogger(__name__)
_captures: weakref.WeakSet[Capture] = weakref.WeakSet()


class ItemMeta(NamedTuple):
    """One image, video or clip of a request.

    modality: "image", "video" or "audio". digest: what caches know it by. spans: half-open, in row order. grid: (frames,
    height, width) in patches, or None. parts: dim 0 of each payload tensor, by default that of one with the grid. dtype: of
    the payload, as "bfloat16". source: "pixels", "preprocessed" or "precomputed". pad: what a prefix cache compares at its
    placeholders, in any form. extras: by name the value, and whether it affects rows. tenant, key, trusted: the caller's own
    name for it. All plain Python.
    """

    modality: str
    digest: Name
    spans: Sequence[tuple[int, int]]
    grid: Sequence[int] | None = None
    parts: Sequence[int] = ()
    dtype: str = "bfloat16"
    source: str = "pixels"
    pad: Name | None = None
    extras: Mapping[str, tuple[object, bool]] = {}
    tenant: str | None = None
    key: str | None = None
    trusted: bool = False


def _event(
    build: Callable[Concatenate[Capture, P], Data],
) -> Callable[Concatenate[Capture, P], None]:
    """A method that writes the event of its name. An engine never learns what went wrong in it."""

    @functools.wraps(build)
    def method(self: Capture, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.active:
            try:
                self._append(build.__name__, build(self, *args, **kwargs))
            except Exception as error:
                self._stop(type(error).__name__)
                log.warning("the capture ended", exc_info=True)

    return method


class Capture:
    """Writes one file for each process into ``folder``, of at most ``limit`` bytes. Any thread may call anything.

    What is younger than ``flush_seconds`` can be lost with a process that is killed. A forked child goes on in a file of its
    own. active: False once the capture ended.
    """

    def __init__(
        self, folder: str | Path, salt: bytes | None = None, limit: int = 1 << 28, flush_seconds: float = 1.0
    ) -> None:
        self.folder, self.limit, self.active = Path(folder), limit, True
        self._salt = hashlib.blake2b(os.urandom(32) if salt is None else salt, digest_size=32).digest()
        self._flush_seconds = flush_seconds
        self._start_file()
        _captures.add(self)
        atexit.register(_close, weakref.ref(self))

    def _start_file(self) -> None:
        self._lock = threading.RLock()
        self._lines: list[bytes] = []
        self._size = self._waiting = 0
        self._flushed = time.monotonic()
        self._file: int | None = None

    # -- what happened

    @_event
    def engine(
        self,
        name: str,
        *,
        cache_rows: int,
        patches_per_call: int,
        hidden: int,
        patch_shape: Sequence[int],
        image: str = "grid",
        merge: int = 1,
        rows_per_tile: int = 1,
        pools_frames: bool = False,
        side_levels: int = 0,
        row_dtype: str = "bfloat16",
        evictions: bool = False,
    ) -> Data:
        """Once, before anything else: the tower's layout and the budgets. cache_rows: rows (with their side rows) that the
        cache has room for. image: "grid", or "tiles" where an image has no grid. evictions: whether ``cache("evict")`` is
        called for each entry that leaves."""
        return {
            **{"name": name, "cache_rows": cache_rows, "patches_per_call": patches_per_call, "hidden": hidden},
            **{"patch_shape": list(patch_shape), "image": image, "merge": merge, "rows_per_tile": rows_per_tile},
            **{"pools_frames": pools_frames, "side_levels": side_levels, "row_dtype": row_dtype},
            "evictions": evictions,
        }

    @_event
    def request(self, request_id: str, tokens: int, items: Iterable[ItemMeta]) -> Data:
        """A request was admitted: its id until it finishes, and how many tokens its prompt has."""
        return {
            "id": self._name("id", request_id),
            "tokens": int(tokens),
            "items": [self._item(item) for item in items],
        }

    @_event
    def step(self, chunks: Iterable[tuple[str, int, int]]) -> Data:
        """A step begins: (request id, lo, hi) of each chunk, in order."""
        return {"chunks": [(self._name("id", name), int(lo), int(hi)) for name, lo, hi in chunks]}

    @_event
    def results(self, results: Iterable[tuple[str, int | str]]) -> Data:
        """Of the last step, for each chunk: (request id, how many rows it was given, or the name of an error)."""
        return {"results": [(self._name("id", name), result) for name, result in results]}

    @_event
    def settled(self) -> Data:
        """The rows of the oldest step that was not settled yet may enter the cache. Of use where that can come late."""
        return {}

    @_event
    def encoded(self, items: Iterable[tuple[Name | None, int | None]]) -> Data:
        """One call of the encoder in this step: (digest, how many rows came; None: it failed) of each item."""
        return {"items": [(None if digest is None else self._name("digest", digest), rows) for digest, rows in items]}

    @_event
    def cache(self, what: str, digest: Name | None = None, rows: int = 0) -> Data:
        """What the embedding cache did: "hit", "miss", "put", "refuse", "evict", or "clear" without a digest."""
        return {"what": what, "digest": None if digest is None else self._name("digest", digest), "rows": int(rows)}

    @_event
    def retract(self, request_id: str) -> Data:
        """Back to the queue; its next chunk may start anywhere."""
        return {"id": self._name("id", request_id)}

    @_event
    def abort(self, request_id: str) -> Data:
        return {"id": self._name("id", request_id)}

    @_event
    def finish(self, request_id: str) -> Data:
        return {"id": self._name("id", request_id)}

    @_event
    def epoch(self, epoch: int) -> Data:
        """The weights are now those of ``epoch``, which was 0 at first."""
        return {"epoch": int(epoch)}

    # -- how it is written

    def _item(self, item: ItemMeta) -> Data:
        optional = {"pad": item.pad, "tenant": item.tenant, "key": item.key}
        return {
            **{"modality": item.modality, "source": item.source, "dtype": item.dtype, "trusted": bool(item.trusted)},
            "digest": self._name("digest", item.digest),
            "spans": [(int(lo), int(hi)) for lo, hi in item.spans],
            "grid": None if item.grid is None else [int(n) for n in item.grid],
            "parts": [int(n) for n in item.parts or ([math.prod(item.grid)] if item.grid is not None else [])],
            "extras": [(name, self._name("extra", repr(v)), bool(rows)) for name, (v, rows) in item.extras.items()],
            **{k: self._name(k, value) for k, value in optional.items() if value is not None},
        }

    def _name(self, kind: str, value: Name) -> str:
        """The same for equal values of one kind, under one salt."""
        plain = value if isinstance(value, bytes) else repr(value).encode()
        return hashlib.blake2b(plain, key=self._salt, digest_size=8, person=kind.encode()).hexdigest()

    def _append(self, event: str, data: Data) -> None:
        with self._lock:
            if not self.active:  # another thread ended it meanwhile
                return
            if self._file is None:
                self._open()
            line = _line(event, data)
            if self._size + len(line) > self.limit - _LAST_WORDS:
                self._stop("limit")
                log.warning("the capture ended: %s has its %d bytes", self.folder, self.limit)
                return
            self._keep(line)
            if self._waiting > BUFFER_BYTES or time.monotonic() - self._flushed > self._flush_seconds:
                self.flush()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"trace-{os.getpid()}-{time.time_ns()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._keep(_line("plumbline trace", {"version": VERSION, "pid": os.getpid(), "limit": self.limit}))
        self.flush()

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        self._waiting += len(line)

    def flush(self) -> None:
        """What was written so far survives this process. Raises OSError."""
        with self._lock:
            data, self._lines, self._waiting, self._flushed = b"".join(self._lines), [], 0, time.monotonic()
            try:
                while data and self._file is not None:
                    data = data[os.write(self._file, data) :]
            except OSError:
                self.active = False  # the file may end inside a line, so nothing may follow
                raise

    def close(self) -> None:
        """Says that the trace is whole. Happens by itself at a normal exit."""
        self._stop("closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self, why: str) -> None:
        with self._lock:
            if not self.active:
                return
            self.active = False
            if self._file is None:
                return
            self._keep(_line("end", {"why": why}))
            try:
                self.flush()
            except OSError:
                log.warning("the last events of %s could not be written", self.folder, exc_info=True)
            os.close(self._file)
            self._file = None

    def _forked(self) -> None:
        """In the child: what waits here is the parent's to write, and so is its file."""
        if self._file is not None and self.active:
            os.close(self._file)
        self._start_file()


def _line(event: str, data: Data) -> bytes:
    at = time.monotonic_ns() // 1000
    return _json({"event": event, "at": at, **data}).encode() + b"\n"


def _close(reference: weakref.ref[Capture]) -> None:
    capture = reference()
    if capture is not None:
        capture.close()


def _forked() -> None:
    for capture in list(_captures):
        capture._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def capture_from_environment() -> Capture | None:
    """What ``PLUMBLINE_CAPTURE=FOLDER`` asks for; None without it. Child processes share the salt through the environment."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    salt = os.environ.setdefault(SALT_VARIABLE, os.urandom(16).hex())
    return Capture(folder, salt.encode())
