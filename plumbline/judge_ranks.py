"""Judges a case of several ranks: they stay together, agree with each other and with one rank alone, and share the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from plumbline import closed_form
from plumbline.bench import Verdicts, WrongRow, judge_leases
from plumbline.build import bits_of
from plumbline.interface import Failure, Prepared, Rows
from plumbline.judge_work import fingerprint
from plumbline.rank_run import RankRun, Seen
from plumbline.scenario import ItemRecipe
from plumbline.snapshots import same
from plumbline.trace import Hang, Scheduled, StepRecord, Trace, items_of
from plumbline.wrong_row import first_wrong, told

Pair = tuple[str, str]
"""Names of the two whose results are held against each other."""

MOST_COLLECTIVES = 3
"""In a step without failures: agreeing on what there is, gathering it, and agreeing on what was settled."""


def judge_ranks(run: RankRun) -> Verdicts:
    """Says nothing of what the implementation gets wrong on one rank."""
    judge = _Judge(run)
    if not run.alone.crashes and not run.alone.stuck:
        judge.go()
    return judge.verdicts


class _Judge:
    def __init__(self, run: RankRun) -> None:
        self.run, self.case = run, run.case
        self.verdicts = Verdicts()
        scenario = run.case.scenario
        items = [item for one in scenario.requests for item in one.items]
        self.fenced = {closed_form.truth(scenario.tower, item) for item in items if item.fence and scenario.lazy}

    def check(self, requirement: str, holds: bool, message: str = "") -> bool:
        return self.verdicts.check(requirement, holds, message)

    def go(self) -> None:
        first, *others = self.run.traces
        for rank, trace in enumerate(self.run.traces):
            self._crashes(rank, trace)
            self._prepared(rank, trace)
            # Also of items that another rank encoded, as the next time it may be this one.
            judge_leases(trace, self.check, f"on rank {rank}, ")
        for rank, trace in enumerate(others, 1):
            self._alike((f"rank {rank}", "rank 0"), trace, first, text)
        self._together()
        for rank, steps in enumerate(self.run.seen):
            for k, (record, seen) in enumerate(zip(self.run.traces[rank].steps, steps, strict=False)):
                self._collectives(record, seen, self._stood_in(k, record))
        if self.case.fault:
            self._unharmed(first)
        else:
            self._alike(("rank 0", "one rank alone"), first, self.run.alone, kind)
        self._shared(first)

    # -- staying together

    def _crashes(self, rank: int, trace: Trace) -> None:
        crash = next((one for one in trace.crashes if not isinstance(one.error, Hang)), None)
        self.check("RANK-003", crash is None, f"rank {rank}, {crash.phase if crash else ''}: {crash and crash.error!r}")

    def _prepared(self, rank: int, trace: Trace) -> None:
        mine, alone = ([names(s.result) for s in one.submissions] for one in (trace, self.run.alone))
        said = f"rank {rank} and one rank alone give other identities or prefix keys, or another order of items"
        self.check("RANK-001", mine == alone, said)

    def _together(self) -> None:
        said = self.run.diverged
        self.check("RANK-002", not said and all(one == self.run.entered[0] for one in self.run.entered), said)

    def _collectives(self, record: StepRecord, seen: Seen, stood_in: bool) -> None:
        where = f"step {record.number} enters {', '.join(map(str, seen.collectives)) or 'none'}"
        data = [k for k, one in enumerate(seen.collectives) if one.name == "gather"]
        agreed = all("agree" in [one.name for one in seen.collectives[:k]] for k in data)
        self.check("RANK-003", agreed, f"{where}: rows travel before it was agreed that there are any")
        if not failed(record) and not stood_in:
            few = len(seen.collectives) <= MOST_COLLECTIVES and len(data) <= 1
            self.check("RANK-006", few, where)

    def _stood_in(self, k: int, record: StepRecord) -> bool:
        """Whether a payload or a call of the k-th step may have failed without harm, because an equal item's took its place or it
        was done again: that needs an agreement."""
        struck = self.case.fault == "payload" and any(seen.opened for seen in self.run.seen[self._at][k : k + 1])
        again = any(call.failed for trace in self.run.traces for one in trace.steps[k : k + 1] for call in one.calls)
        gone = any(item.gone for s in record.scheduled for item in self._needed(s))
        return struck or again or gone or any(self._fenced(s) for s in record.scheduled)

    # -- the same results

    def _alike(self, who: Pair, one: Trace, other: Trace, said_of: Callable[[Failure], object]) -> None:
        """Until the first difference, which is the cause of those that follow."""
        for a, b in zip(one.steps, other.steps, strict=False):
            results = zip(a.scheduled, a.results, b.results, strict=False)
            if not all(self._same(who, a, s, (x, y), said_of) for s, x, y in results):
                return
            lost = [{f.request_id: said_of(f) for f in record.settled} for record in (a, b)]
            if not self.check("RANK-003", lost[0] == lost[1], f"{' and '.join(who)}, step {a.number}, settled: {lost}"):
                return

    def _same(
        self,
        who: Pair,
        record: StepRecord,
        s: Scheduled,
        results: tuple[Rows | Failure, Rows | Failure],
        said_of: Callable[[Failure], object],
    ) -> bool:
        where = f"{' and '.join(who)}, step {record.number}, request {s.chunk.request_id} [{s.chunk.lo}, {s.chunk.hi})"
        a, b = results
        if isinstance(a, Rows) and isinstance(b, Rows):
            if same(a, b):
                return self.check("RANK-004", True)
            for name, rows in zip(who, (a, b), strict=True):
                if wrong := self._wrong(record, s, rows):
                    said = f"{where}: on {name} {told(wrong, self.case.scenario)}"
                    return self.verdicts.check("RANK-004", False, said, wrong)
            return self.check("RANK-004", False, f"{where}: other rows")
        said_by = [said_of(one) if isinstance(one, Failure) else "rows" for one in results]
        return self.check("RANK-003", said_by[0] == said_by[1], f"{where}: {said_by[0]} and {said_by[1]}")

    def _wrong(self, record: StepRecord, s: Scheduled, rows: Rows) -> WrongRow | None:
        """The first wrong row, where rows have the right shape and dtype at all."""
        scenario = self.case.scenario
        if s.entry is None or s.fault:
            return None
        owner = closed_form.lay_out(scenario.tower, s.entry.submission.recipe).owner
        count = sum(at is not None for at in owner[s.chunk.lo : s.chunk.hi])
        shape, dtype = (count, scenario.tower.hidden), getattr(torch, scenario.tower.row_dtype)
        levels = (rows.rows, *rows.side)
        if any(tuple(level.shape) != shape or level.dtype is not dtype for level in levels):
            return None
        found = (first_wrong(scenario, s, bits_of(rows), n, record) for n, rows in enumerate(levels))
        return next((wrong for wrong in found if wrong is not None), None)

    def _unharmed(self, trace: Trace) -> None:
        """With a fault of one rank: who fails needs what that rank could not give, and others get the rows of one rank."""
        rows: dict[tuple[int, int], dict[int, bytes]] = {}
        for record in self.run.alone.steps:
            for s, result in zip(record.scheduled, record.results, strict=False):
                if s.entry is not None and isinstance(result, Rows):
                    rows.setdefault((s.entry.submission.index, record.epoch), {}).update(by_position(result))
        for record, seen in zip(trace.steps, self.run.seen[self._at], strict=False):
            if self.case.fault != "lease":
                excused = {s.chunk.request_id for s in record.scheduled if self._fenced(s)}
                lost = [failure.request_id for failure in record.settled if failure.request_id not in excused]
                self.check("RANK-003", not lost, f"step {record.number}: {lost} taken back, and no lease was lost")
            for s, result in zip(record.scheduled, record.results, strict=False):
                if s.entry is None or s.fault:
                    continue
                where = f"step {record.number}, request {s.chunk.request_id} [{s.chunk.lo}, {s.chunk.hi})"
                alone = rows.get((s.entry.submission.index, record.epoch), {})
                if isinstance(result, Rows) and not self._fenced(s):
                    alike = all(alone.get(at, row) == row for at, row in by_position(result).items())
                    self.check("RANK-004", alike, f"{where}: other rows than one rank alone gives")
                if isinstance(result, Failure) and not self._own_fault(s, result):
                    said = f"{where} failed, and not for what is wrong with rank {self._at}: {result.error!r}"
                    self.check("RANK-003", self._struck(record, seen, s), said)

    @property
    def _at(self) -> int:
        return self.case.at % self.case.ranks

    def _fenced(self, s: Scheduled) -> bool:
        """Whether the chunk needs an item that is fenced off for whoever reads it, in its own request or in another."""
        return any(closed_form.truth(self.case.scenario.tower, item) in self.fenced for item in self._needed(s))

    def _own_fault(self, s: Scheduled, failure: Failure) -> bool:
        """Whether it may fail on one rank as well."""
        faulty = any(item.fault or item.gone for item in self._needed(s)) or self._fenced(s)
        return faulty or kind(failure) in ("EpochChanged", "CapabilityMissing")

    def _needed(self, s: Scheduled) -> list[ItemRecipe]:
        """The items whose rows the chunk needs, as their recipes."""
        if s.entry is None or s.fault:
            return []
        items = s.entry.submission.recipe.items
        return [items[k] for k in items_of(self.case.scenario.tower, s, listed_order=False)]

    def _struck(self, record: StepRecord, seen: Seen, s: Scheduled) -> bool:
        """Whether the rank with the fault tried an item of the chunk in this step, one that it struck if not all are."""
        assert s.entry is not None
        name, count = s.chunk.request_id, len(s.entry.prepared.items)
        needed = items_of(self.case.scenario.tower, s)
        if self.case.fault == "payload":
            return any((name, item) in seen.opened and self.case.strikes(name, item, count) for item in needed)
        wanted = {fingerprint(self.case.scenario.tower, item) for item in self._needed(s)}
        steps = [one for one in self.run.traces[self._at].steps if one.number == record.number]
        return any(call.failed and wanted & set(call.items) for one in steps for call in one.calls)

    # -- the same work

    def _shared(self, first: Trace) -> None:
        """Each item's payload is read by one rank, and no more is encoded and moved than on one rank."""
        for k, record in enumerate(first.steps):
            opened = Counter(name for steps in self.run.seen for name in (steps[k].opened if k < len(steps) else ()))
            twice = [name for name, count in opened.items() if count > 1]
            self.check("RANK-005", not twice, f"step {record.number}: {twice[:3]} opened by several ranks")
        if self.case.fault:
            return
        for k, alone in enumerate(self.run.alone.steps):
            records = [trace.steps[k] for trace in self.run.traces if k < len(trace.steps)]
            if failed(alone) or any(failed(one) for one in records):
                continue
            done = Counter(item for one in records for call in one.calls for item in call.items)
            due = Counter(item for call in alone.calls for item in call.items)
            where = f"step {alone.number}: on {len(records)} ranks"
            more = sum((done - due).values())
            self.check("RANK-005", not more, f"{where} {more} items more are encoded than on one")
            moved = sum(one.moved_bytes for one in records)
            self.check(
                "RANK-005", moved <= alone.moved_bytes, f"{where} {moved} bytes move, {alone.moved_bytes} on one"
            )


def kind(failure: Failure) -> object:
    return type(failure.error).__name__


def text(failure: Failure) -> object:
    return kind(failure), str(failure.error)


def failed(record: StepRecord) -> bool:
    """Whether anything did but a chunk that was scheduled to."""
    results = zip(record.scheduled, record.results, strict=False)
    own = any(isinstance(result, Failure) and not s.fault for s, result in results)
    return own or bool(record.settled) or any(call.failed for call in record.calls)


def by_position(rows: Rows) -> dict[int, bytes]:
    """Bits of what stands at each position, side rows included; of rows that are missing nothing."""
    levels = [bits_of(level).numpy() for level in (rows.rows, *rows.side)]
    return {
        at: b"".join(level[k].tobytes() for level in levels if k < len(level))
        for k, at in enumerate(rows.positions.tolist())
    }


def names(result: object) -> object:
    """What ranks must agree on of a prepared request; of any other result its kind."""
    if not isinstance(result, Prepared):
        return type(result).__name__
    order = [(item.modality, item.source, item.spans) for item in result.items]
    return [one.digest for one in result.identities], result.prefix_keys.tolist(), order


def reach_of(run: RankRun) -> set[str]:
    """Situations that a case was in."""
    gathers = [one for one in run.entered[0] if one.name == "gather"]
    shares = [one.sizes[:-1] for one in gathers]
    reach = {f"{run.case.ranks} ranks", f"fault: {run.case.fault or 'none'}"}
    found = {
        "rows travel": bool(gathers),
        "a rank without items": any(0 in counts for counts in shares),
        "uneven shares": any(len(set(counts)) > 1 for counts in shares),
        "a failure is agreed": any(isinstance(r, Failure) for record in run.traces[0].steps for r in record.results),
        "a lease is lost": any(record.settled for record in run.traces[0].steps),
        "a lease is lost late": any(record.settled for record in run.traces[0].steps[:-1])
        and run.case.scenario.settle_late,
        "settled late": "settled after the next step began" in run.traces[0].reach,
        "a chunk is sent again": "chunk sent again" in run.traces[0].reach,
        "a payload is gone": run.case.scenario.lazy
        and any(i.gone for r in run.case.scenario.requests for i in r.items),
    }
    return reach | {name for name, there in found.items() if there}
