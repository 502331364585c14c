"""What a captured trace shows of the live engine by itself, without any other implementation to compare it with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from plumbline.capture_file import Abort, Cache, Encoded, Epoch, Finish, Item, Recording, Request, Retract, Step
from plumbline.capture_scenario import row_error, span_error, tower_of


@dataclass(frozen=True)
class Finding:
    """A requirement that the live engine broke. where: file:line of the event that shows it."""

    requirement: str
    where: str
    message: str


@dataclass
class _Live:
    """A request between its admission and its end. epoch: of what it was served since it started, None: nothing. underway:
    indices of items of which rows were served and rows are to come."""

    event: Request
    epoch: int | None = None
    underway: set[int] = field(default_factory=set)

    def reached(self, lo: int, hi: int) -> set[int]:
        """Items with a position in [lo, hi)."""
        return {k for k, item in enumerate(self.event.items) if any(a < hi and lo < b for a, b in item.spans)}


@dataclass
class _Now:
    """The step that is under way. needs: digests of the items that its chunks reach; fresh: that some request begins with."""

    needs: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    encoded: Counter[str] = field(default_factory=Counter)
    short: dict[str, Finding] = field(default_factory=dict)
    """Hits with another number of rows, by digest. Right where the item is encoded after all."""
    begun: bool = False


class TraceJudge:
    """Goes through a recording once."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.engine = recording, recording.engine
        self.tower, self.outcomes = tower_of(recording.engine), recording.outcomes()
        self.findings: list[Finding] = []
        self.live: dict[str, _Live] = {}
        self.ended: set[str] = set()
        self.epoch = 0
        self.items: dict[str, tuple[str, Item]] = {}
        self.pads: dict[str, tuple[str, Item]] = {}
        self.keys: dict[object, tuple[str, Item]] = {}
        self.kept: dict[tuple[str, int], int] = {}
        """Rows by digest and epoch that may be in the cache."""
        self.all_put: dict[tuple[str, int], int] = {}
        self.encoded: set[str] = set()
        self.failed: set[str] = set()
        self.now = _Now()
        self.where = ""

    def go(self) -> list[Finding]:
        for where, event in self.recording.events:
            self.where = where
            if isinstance(event, Request):
                self._request(event)
            elif isinstance(event, Step):
                self._step(event)
            elif isinstance(event, Encoded):
                self._encoded(event)
            elif isinstance(event, Cache):
                self._cache(event)
            elif isinstance(event, Epoch):
                self._set_epoch(event.epoch)
            elif isinstance(event, Retract) and event.id in self.live:
                self.live[event.id] = _Live(self.live[event.id].event)
            elif isinstance(event, Finish | Abort) and event.id in self.live:
                del self.live[event.id]
                self.ended.add(event.id)
        self._end_step()
        return self.findings

    def _broken(self, requirement: str, message: str) -> None:
        self.findings.append(Finding(requirement, self.where, message))

    def _set_epoch(self, epoch: int) -> None:
        """What was kept under another epoch may be dropped for good."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.kept = {key: rows for key, rows in self.kept.items() if key[1] == epoch}
            for request in self.live.values():
                request.underway.clear()

    # -- requests

    def _request(self, event: Request) -> None:
        if event.id in self.live:
            self._broken("LIFE-004", "a request was admitted under an id that is in use")
        if error := span_error(event.tokens, event.items):
            self._broken("ITEM-006", f"a request was admitted of which {error}")
        for number, item in enumerate(event.items):
            if error := row_error(self.tower, item):
                self._broken("ITEM-002", f"item {number} was admitted with {error}")
            self._identity(number, item)
        self.live[event.id] = _Live(event)
        self.ended.discard(event.id)

    def _identity(self, number: int, item: Item) -> None:
        first, other = self.items.setdefault(item.digest, (self.where, item))
        if requirement := shared_digest(item, other):
            self._broken(requirement, f"item {number} has the digest of another item, of {first}")
        if item.pad is not None and item.rows:
            first, other = self.pads.setdefault(item.pad, (self.where, item))
            if other.digest != item.digest:
                self._broken("PREFIX-002", f"item {number} has the prefix keys of another item, of {first}")
        if item.trusted:
            first, other = self.keys.setdefault((item.tenant, item.key, item.metadata), (self.where, item))
            if other.digest != item.digest:
                self._broken(
                    "IDENT-008", f"item {number} has another digest than under the same trusted key in {first}"
                )

    # -- steps

    def _step(self, event: Step) -> None:
        self._end_step()
        self.now = _Now(begun=True)
        seen: set[str] = set()
        for (name, lo, hi), outcome in zip(event.chunks, self.outcomes[self.where], strict=True):
            request = self.live.get(name)
            if request is None:
                if name in self.ended and not isinstance(outcome, str):
                    self._broken("CHUNK-005", f"a chunk [{lo}, {hi}) of a request that had ended was served")
                continue
            good = name not in seen and 0 <= lo < hi <= request.event.tokens
            seen.add(name)
            if not good:
                if not isinstance(outcome, str):
                    why = f"empty, outside the {request.event.tokens} tokens, or the second of its request"
                    self._broken("CHUNK-005", f"a chunk [{lo}, {hi}) was served that is {why}")
                continue
            self._chunk(request, lo, hi, outcome)

    def _chunk(self, request: _Live, lo: int, hi: int, outcome: int | str | None) -> None:
        reached = request.reached(lo, hi)
        digests = [item.digest for item in request.event.items]
        self.now.needs |= {digests[k] for k in reached}
        self.now.fresh |= {digests[k] for k in reached - request.underway}
        if isinstance(outcome, str):
            return
        if request.epoch not in (None, self.epoch):
            self._broken("EPOCH-002", f"served under epoch {self.epoch} what began under epoch {request.epoch}")
        due = sum(max(0, min(b, hi) - max(a, lo)) for i in request.event.items for a, b in i.spans)
        if outcome is not None and outcome != due:
            self._broken("CHUNK-006", f"a chunk [{lo}, {hi}) was given {outcome} rows and has {due} placeholders")
        request.underway = (request.underway | reached) & request.reached(hi, request.event.tokens)
        request.epoch = self.epoch

    # -- encoder and cache

    def _encoded(self, event: Encoded) -> None:
        for digest, rows in event.items:
            if digest is None:
                continue
            if rows is None:
                self.failed.add(digest)
                continue
            self.now.encoded[digest] += 1
            self.encoded.add(digest)
            if digest in self.items and self.items[digest][1].source == "precomputed":
                self._broken("ENC-008", "an item that came as rows went through the encoder")
            if self.now.begun and digest not in self.now.needs:
                self._broken("WORK-001", "an item was encoded that no chunk of the step needs")
            elif self.now.begun and self.kept.get((digest, self.epoch)) == rows and self._surely_kept():
                self._broken("CACHE-008", "an item was encoded again that the cache had room for and had not let go")
            elif self.now.begun and digest not in self.now.fresh:
                self._broken("CHUNK-003", "an item was encoded again of which its request still has rows to come")
            elif self.now.encoded[digest] == 2:
                self._broken("ENC-007", "an item was encoded twice in one step")

    def _end_step(self) -> None:
        self.findings += [finding for digest, finding in self.now.short.items() if digest not in self.now.encoded]

    def _surely_kept(self) -> bool:
        return self.engine.evictions or sum(self.all_put.values()) <= self.engine.cache_rows

    def _cache(self, event: Cache) -> None:
        key = (event.digest or "", self.epoch)
        if event.what == "clear":
            self.kept.clear()
        elif event.what == "evict":
            self.kept = {k: n for k, n in self.kept.items() if k[0] != event.digest}
        elif event.what == "put":
            if event.digest in self.failed - self.encoded:
                self._broken("CACHE-010", "rows were cached of an item that could not be encoded")
            self.kept[key] = self.all_put[key] = event.rows
            if self.engine.evictions and sum(self.kept.values()) > self.engine.cache_rows:
                held = f"{sum(self.kept.values())} rows in a cache of {self.engine.cache_rows}"
                self._broken("CACHE-004", held)
        elif event.what == "hit" and event.digest is not None:
            self._hit(event.digest, event.rows)

    def _hit(self, digest: str, rows: int) -> None:
        if digest in self.items and self.items[digest][1].rows != rows:
            said = f"a hit with {rows} rows was served for an item of {self.items[digest][1].rows} positions"
            self.now.short[digest] = Finding("CACHE-007", self.where, said)
        epochs = {epoch for name, epoch in self.all_put if name == digest}
        if epochs and self.epoch not in epochs:
            self._broken("CACHE-002", f"a hit under epoch {self.epoch} on rows of epoch {max(epochs)}")


def shared_digest(a: Item, b: Item) -> str:
    """The requirement that two items break by having one digest; empty if they may."""
    if (a.key is None) != (b.key is None):
        return "IDENT-010"
    if a.tenant != b.tenant:
        return "ISO-005"
    if a.key != b.key and (a.trusted or b.trusted):
        return "IDENT-008"
    if a.metadata == b.metadata:
        return ""
    return "IDENT-008" if a.trusted and b.trusted else "IDENT-004"
