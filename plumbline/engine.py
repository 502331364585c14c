"""A small deterministic engine: prefix tree, chunk scheduler, retraction, abort, samples, weight updates, token embedding.

It drives an implementation through a scenario and writes down what happened; ``judge.py`` decides what that means.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from plumbline import closed_form, process_state
from plumbline.build import listed
from plumbline.engine_requests import make_lazy, place, prepare_all, take_back
from plumbline.engine_step import Steps
from plumbline.exact import ExactTower, UnsteadyTower, exact_spec
from plumbline.interface import (
    Budgets,
    Capability,
    CapabilityMissing,
    Chunk,
    EncodingFailed,
    EpochChanged,
    Failure,
    Implementation,
    PlumblineError,
    Prepared,
    Ranks,
    Rows,
)
from plumbline.rig import Place, Rig, build_rig
from plumbline.scenario import AFTER_FAILURE, ITEMSIZE, Op, Scenario, seated
from plumbline.trace import Api, Crash, Entry, Hang, Scheduled, StepRecord, Trace, items_of
from plumbline.transport_path import Path


def budgets_of(scenario: Scenario) -> Budgets:
    tower = scenario.tower
    row = tower.hidden * (1 + tower.side_levels) * ITEMSIZE[tower.row_dtype]
    return Budgets(scenario.cache_rows * row, scenario.patches_per_call, scenario.item_patches)


def run(
    scenario: Scenario, implementation: Implementation, place: Place | None = None, ranks: Ranks | None = None
) -> Trace:
    """Runs a scenario through a complete implementation. Raises nothing that the implementation did."""
    trace = Trace(scenario, implementation.retention)
    before = process_state.now()
    for _ in turns(trace, implementation, place, ranks):
        pass
    trace.disturbed = process_state.restored(before)
    return trace


def turns(
    trace: Trace, implementation: Implementation, place: Place | None = None, ranks: Ranks | None = None
) -> Iterator[None]:
    """The same into ``trace``, a turn at a time, so that other engines can have theirs in between."""
    scenario = trace.scenario
    spec = exact_spec(scenario.tower)
    try:
        tower = UnsteadyTower(ExactTower(scenario.tower, spec), scenario.hiccups)
        rig = build_rig(implementation, tower, spec, budgets_of(scenario), place, ranks)
    except Exception as error:
        trace.crashes.append(Crash("building the parts", "", error))
        return
    trace.cache_budget = rig.runtime.budgets.cache_bytes
    trace.has_device = rig.port.device.type != "cpu"
    kind = Run
    if scenario.script:
        from plumbline.recorded import RecordedRun as kind  # it is a Run itself
    try:
        run = kind(scenario, rig, trace, implementation)
        yield from run.go()
        run.finish()
        run.close()
    except Hang as hang:
        trace.crashes.append(Crash("a call", "", hang))


class Run:
    """One implementation under a scenario's own schedule."""

    def __init__(self, scenario: Scenario, rig: Rig, trace: Trace, implementation: Implementation) -> None:
        self.scenario, self.rig, self.trace, self.claims = scenario, rig, trace, implementation.capabilities
        by_transport = scenario.lazy and scenario.transport and Capability.TRANSPORT in self.claims
        self.path = Path(implementation, rig.runtime) if by_transport else None
        self.tower = scenario.tower
        self.tree: list[tuple[list[int], int]] = []
        self.chunk_index = 0
        self.first_again: int | None = None
        """The step before which a chunk had failed that is to be sent again."""
        self.steps = Steps(rig, trace, self.claims, self._lost)

    def go(self) -> Iterator[None]:
        self._queue()
        tokens = sum(len(e.prepared.token_ids) for e in self.trace.entries)
        last_op = max((op.step for op in self.scenario.ops), default=0)
        limit = (
            8
            + last_op
            + 3 * len(self.scenario.ops)
            + (2 + len(self.scenario.ops)) * tokens // min(self.scenario.chunks)
        )
        limit += (2 + self.scenario.retries + self.scenario.linger) * len(self.trace.entries)
        for number in range(limit):
            yield
            self._let_go(number)
            for op in self.scenario.ops:
                if self._is_due(op, number):
                    self._operate(op)
            self._admit()
            scheduled = self._schedule(number)
            if scheduled:
                self._step(number, scheduled)
            if self.trace.crashes:
                return
            if number >= last_op and all(e.state in ("done", "failed", "aborted") for e in self.trace.entries):
                return
        self.trace.stuck = True

    # -- what comes in

    def _queue(self) -> None:
        prepare_all(self.trace, self.rig, self.claims)
        for s in self.trace.submissions:
            if isinstance(s.result, Prepared) and not s.broken:
                for copy in range(s.recipe.copies):
                    name = s.result.request_id + (f"#{copy}" if copy else "")
                    entry = Entry(name, s, dataclasses.replace(s.result, request_id=name))
                    struck = any(item.fence or item.gone for item in s.recipe.items)
                    if self.path is not None and not struck:
                        self._send(self.path, entry)
                    elif self.scenario.lazy:
                        make_lazy(entry)
                    else:
                        place(entry, self.rig)
                    self.trace.entries.append(entry)

    def _send(self, path: Path, entry: Entry) -> None:
        try:
            entry.prepared, received, entry.ticket = path.deliver(entry.prepared)
        except Exception as error:
            self.trace.crashes.append(Crash("transport", entry.id, error))
            return
        entry.features.update(received)
        self.trace.reach.add("by transport")

    def close(self) -> None:
        """After everything ended: what is still under a lease was not released. Who never came in is taken back."""
        for e in self.trace.entries:
            if e.ticket is not None and not e.came_in:
                e.ticket.cancel()
        if self.path is not None and (leased := self.path.finish()) and not self.trace.crashes and not self.trace.stuck:
            self.trace.unreleased.append(f"{leased} bytes under leases")

    # -- operations

    def _is_due(self, op: Op, number: int) -> bool:
        return op.step == number or (op.step == AFTER_FAILURE and number == self.first_again)

    def _operate(self, op: Op) -> None:
        candidates = [e for e in self.trace.entries if e.submission.index == op.request % len(self.scenario.requests)]
        if op.kind == "abort":
            for e in candidates:
                if e.state in ("waiting", "running"):
                    self._finish(e, "aborted")
        elif op.kind == "retract":
            for e in candidates:
                if e.state == "running":
                    self._retract(e)
        elif op.kind == "epoch":
            self._set_epoch(op.epoch)
        elif op.kind == "admit_twice":
            for e in self.trace.entries:
                if e.admitted:
                    self._expect("admit_twice", "DuplicateRequest", lambda e=e: self.rig.embed.admit(e.prepared))  # type: ignore[misc]
                    break
        elif op.kind == "unknown":
            known = {e.id for e in self.trace.entries if e.admitted}
            absent = [e.id for e in self.trace.entries if e.id not in known] or ["nobody"]  # gone, or to come
            name = absent[op.request % len(absent)]
            self._expect("retract_unknown", "UnknownRequest", lambda: self.rig.embed.retract(name))
            self._expect("finish_unknown", "UnknownRequest", lambda: self.rig.embed.finish(name))

    def _expect(self, kind: str, expected: str, call: Callable[[], None]) -> None:
        got: BaseException | None = None
        try:
            call()
        except Exception as error:
            got = error
        self.trace.api.append(Api(kind, expected, got))

    def finish(self) -> None:
        """Every step is settled, and everything that was read has been looked at after this."""
        self._guard("settle", "", self.steps.settle)
        self._guard("the device", "", self.rig.place.finish)

    def _guard(self, phase: str, request_id: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self.trace.crashes.append(Crash(phase, request_id, error))

    def _set_epoch(self, epoch: int) -> None:
        before = self.rig.tower.epoch
        changed = epoch != before
        self.rig.tower.epoch = epoch
        try:
            self.rig.embed.set_epoch(int(str(epoch)))  # as from a message: equal to the tower's, and another object
        except CapabilityMissing as missing:
            if Capability.EPOCHS in self.claims:
                self.trace.crashes.append(Crash("set_epoch", "", missing))
            self.rig.tower.epoch = before
            return
        except Exception as error:
            self.trace.crashes.append(Crash("set_epoch", "", error))
        self.trace.note("epoch", value=epoch)
        if changed:
            self.tree.clear()
            self.trace.reach.add("epoch change")
            for e in self.trace.entries:
                if e.state == "running":
                    if e.underway:
                        self.trace.reach.add("epoch change inside an item")
                    if self.scenario.eager_retract:
                        self._retract(e)
                e.underway.clear()  # what was held of other weights may be dropped, even if they come back

    def _retract(self, e: Entry) -> None:
        if e.underway:
            self.trace.reach.add("retract inside an item")
        if e.position:
            self.trace.reach.add("retract after a chunk")
        if e.position == len(e.prepared.token_ids):
            self.trace.reach.add("retract after the last chunk")
        self.trace.note("retracted", e.id)
        self._guard("retract", e.id, lambda: self.rig.embed.retract(e.id))
        self._note_released(e)
        e.state, e.position, e.served_epoch, e.failed_in = "waiting", 0, None, None
        e.underway.clear()

    def _note_released(self, e: Entry) -> None:
        for item, index in enumerate(listed(e.submission.recipe)):
            if e.admitted and any(f.released for f in e.features.get(item, ())):
                e.released.setdefault(index, self.rig.tower.epoch)

    def _finish(self, e: Entry, state: str) -> None:
        self._note_released(e)
        self.trace.note(state, e.id)
        if e.admitted:
            if state == "aborted":
                self.trace.reach.add("abort while running" if e.position else "abort before a chunk")
            self._guard("finish", e.id, lambda: self.rig.embed.finish(e.id))
            for index, features in e.features.items():
                if not all(f.released for f in features):
                    self.trace.unreleased.append(f"request {e.id}, item {index}")
            take_back(e)
        e.state, e.admitted = state, False

    def _let_go(self, number: int) -> None:
        """Those that have all their rows, and stayed as long as they should."""
        for e in self.trace.entries:
            if e.state == "running" and e.position == len(e.prepared.token_ids) and number >= e.leaves_at:
                self._finish(e, "done")

    # -- scheduling

    def _admit(self) -> None:
        """Admits in the order of submission, ``ahead`` more than run; an id waits until its last holder has ended."""
        running = sum(e.state == "running" for e in self.trace.entries)
        held = sum(e.admitted for e in self.trace.entries)
        for e in self.trace.entries:
            if e.state != "waiting" or any(o.id == e.id and o.admitted and o is not e for o in self.trace.entries):
                continue
            if not e.admitted:
                if held >= self.scenario.running + self.scenario.ahead or not self._admitted(e):
                    continue
                held += 1
            if running < self.scenario.running:
                e.state, e.position = "running", self._prefix_hit(e)
                running += 1

    def _admitted(self, e: Entry) -> bool:
        try:
            self.rig.embed.admit(e.prepared)
        except CapabilityMissing as missing:
            e.state, e.refused = "failed", missing
            self.trace.note("refused", e.id)
            return False
        except Exception as error:
            self.trace.crashes.append(Crash("admit", e.id, error))
        e.admitted = e.came_in = True
        self.trace.note("admitted", e.id)
        return True

    def _prefix_hit(self, e: Entry) -> int:
        """Positions whose keys equal those of something that was computed before; at least one is always left."""
        keys = e.prepared.prefix_keys.tolist()
        best = 0
        if self.scenario.prefix_cache:
            for other, length in self.tree:
                hit = 0
                while hit < min(length, len(keys) - 1) and other[hit] == keys[hit]:
                    hit += 1
                best = max(best, hit)
        if best:
            self.trace.reach.add("prefix hit")
            self.trace.note("prefix hit", e.id, best)
            owner = closed_form.lay_out(self.tower, e.submission.recipe).owner
            if owner[best] is not None and owner[best - 1] is not None and owner[best][0] == owner[best - 1][0]:  # type: ignore[index]
                self.trace.reach.add("prefix hit inside an item")
        return best

    def _schedule(self, number: int) -> list[Scheduled]:
        scheduled = []
        due = [e for e in self.trace.entries if e.state == "running" and e.position < len(e.prepared.token_ids)]
        for e in seated(due, self.scenario.seats, number):
            size = self.scenario.chunks[self.chunk_index % len(self.scenario.chunks)]
            self.chunk_index += 1
            hi = min(e.position + size, len(e.prepared.token_ids))
            scheduled.append(self._chunk(e, e.position, hi))
        for op in self.scenario.ops:
            if self._is_due(op, number) and op.kind == "bad_chunk" and scheduled:
                self._spoil(scheduled, op.request)
        return scheduled

    def _chunk(self, e: Entry, lo: int, hi: int, fault: str = "") -> Scheduled:
        chunk, underway, released = Chunk(e.id, lo, hi), frozenset(e.underway), dict(e.released)
        return Scheduled(chunk, e, fault, underway, e.served_epoch, released, e.failed_in)

    def _spoil(self, scheduled: list[Scheduled], variant: int) -> None:
        """Puts one chunk into the step that must fail alone."""
        victim = scheduled[variant // 5 % len(scheduled)]
        e = victim.entry
        if e is None or victim.fault:
            return
        n, at = len(e.prepared.token_ids), scheduled.index(victim)
        if variant % 5 == 0:
            scheduled.append(Scheduled(victim.chunk, None, "BadChunk"))
        elif variant % 5 == 1:
            scheduled.insert(at, Scheduled(Chunk("nobody", 0, 1), None, "UnknownRequest"))
        elif variant % 5 == 2:
            scheduled[at] = self._chunk(e, e.position, n + 1, "BadChunk")
        elif variant % 5 == 3:
            scheduled[at] = self._chunk(e, e.position, e.position, "BadChunk")
        else:
            scheduled[at] = self._chunk(e, -1, e.position + 1, "BadChunk")

    # -- one step

    def _step(self, number: int, scheduled: list[Scheduled]) -> None:
        record = self.steps.call(number, scheduled)
        for e in self.trace.entries:
            for index, features in e.features.items():
                opens = sum(f.events.count("open") for f in features)
                if opens > e.opens.get(index, 0):
                    record.opened.append((e, index))
                e.opens[index] = opens
            self._note_released(e)
        if not self.trace.crashes:
            self._advance(record)

    def _lost(self, e: Entry) -> None:
        """The rows of a step before the last were lost. Who went on meanwhile ends there."""
        if e.state == "running":
            self._finish(e, "failed")

    def _advance(self, record: StepRecord) -> None:
        lost = {f.request_id: f for f in record.settled}
        for k, s in enumerate(record.scheduled):
            e = s.entry
            if e is None or s.fault or e.state != "running":
                continue
            result = record.results[k] if k < len(record.results) else None
            if isinstance(result, Rows) and e.id not in lost:
                self._served(e, s)
                if e.position == len(e.prepared.token_ids):
                    e.leaves_at = record.number + 1 + self.scenario.linger
                    if not self.scenario.linger:
                        self._finish(e, "done")
                continue
            error: PlumblineError | None = result.error if isinstance(result, Failure) else None
            if isinstance(error, EpochChanged):
                self.trace.reach.add("epoch changed under a request")
                self._retract(e)
            elif isinstance(error, EncodingFailed) and e.retries < self.scenario.retries:
                self.trace.reach.add("chunk sent again")
                e.retries, e.failed_in = e.retries + 1, record.number
                self.first_again = self.first_again or record.number + 1
            else:
                self._finish(e, "failed")

    def _served(self, e: Entry, s: Scheduled) -> None:
        e.position, e.served_epoch, e.failed_in = s.chunk.hi, self.rig.tower.epoch, None
        owner = closed_form.lay_out(self.tower, e.submission.recipe).owner
        coming = {at[0] for at in owner[s.chunk.hi :] if at}
        e.underway = (e.underway | items_of(self.tower, s, listed_order=False)) & coming
        if e.underway:
            self.trace.reach.add("cut inside an item")
        self.tree.append((e.prepared.prefix_keys.tolist(), s.chunk.hi))
