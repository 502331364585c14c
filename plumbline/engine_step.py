"""The calls of one step, looked at from all sides: what it gave, what merging made of that, and what changed afterwards."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from plumbline.interface import Capability, Failure, Merged, Rows, Step
from plumbline.rig import Rig
from plumbline.scenario import VOCABULARY
from plumbline.snapshots import copy_of, same
from plumbline.trace import Crash, Entry, Scheduled, StepRecord, Trace

OVERWRITTEN = -999
"""In the place of merged embeddings when they were looked at: nobody's row, and nobody's embedding."""


class Reused:
    """Copies of tensors that differ in their length alone, each in the memory of the one before it. On a device, where queued
    work may still read that, the tensors themselves."""

    def __init__(self, device: torch.device) -> None:
        self.on_host = device.type == "cpu"
        self.memory: Tensor | None = None

    def __call__(self, tensor: Tensor) -> Tensor:
        if not self.on_host:
            return tensor
        if self.memory is None or len(self.memory) < len(tensor):
            with torch.inference_mode(False):  # a later step may be in it or not
                self.memory = tensor.new_empty(2 * len(tensor), *tensor.shape[1:])
        return self.memory[: len(tensor)].copy_(tensor)


class TokenEmbedding:
    """[VOCABULARY, hidden] of negative numbers, so that no text row looks like an item's row. Notes ids out of range. What it
    gives is reused, as where a language model is a captured graph. step: whose merge it is for; the table of every other one
    is another, as with adapters."""

    def __init__(self, rig: Rig, hidden: int) -> None:
        table = -(torch.arange(VOCABULARY) + 1).to(rig.runtime.spec.dtype)[:, None].expand(VOCABULARY, hidden)
        self.tables = [rig.port.move(k * table.contiguous()) for k in (1, 2)]
        self.step = 0
        self.place = rig.place
        self.reused = Reused(rig.port.device)
        self.bad_ids: list[int] = []

    def __call__(self, ids: Tensor) -> Tensor:
        self.place.read(ids, self._look)
        return self.reused(self.tables[self.step % 2][ids.clamp(0, VOCABULARY - 1)])

    def _look(self, ids: Tensor) -> None:
        self.bad_ids += ids[(ids < 0) | (ids >= VOCABULARY)].tolist()


class Steps:
    """Calls steps of an implementation and settles them, at once or when the next one has begun. lost: is told of requests
    that went on in another step, when the rows of one before it turn out to be lost."""

    def __init__(self, rig: Rig, trace: Trace, claims: frozenset[Capability], lost: Callable[[Entry], None]) -> None:
        self.rig, self.trace, self.claims, self._lost = rig, trace, claims, lost
        self.tower = trace.scenario.tower
        self.lasting: list[tuple[StepRecord, Entry, int, Rows]] = []
        self.unsettled: tuple[StepRecord, Step] | None = None
        self.merged: tuple[Tensor, ...] = ()
        self.mask: tuple[Tensor, ...] = ()
        self.ids = Reused(rig.port.device)
        self.calls_seen = 0
        self.embedding = TokenEmbedding(rig, self.tower.hidden)

    def call(self, number: int, scheduled: list[Scheduled]) -> StepRecord:
        """One step with its settling or that of the step before, its merge, and what is seen of them."""
        record = StepRecord(number, self.rig.tower.epoch, scheduled)
        self.trace.steps.append(record)
        moved, late = self.rig.port.moved_bytes, self.trace.scenario.settle_late
        self._look_again(scheduled)
        try:
            chunks = [s.chunk for s in scheduled]
            step = self.rig.embed.step(chunks if number % 2 else tuple(chunks))
            record.results = list(step.results)
            self._keep_copies(record)
            for result in step.results:
                if isinstance(result, Rows):
                    self._note_strays(record, result.request_id, result.rows, *result.side)
            self._merge(record, list(step.results), out=number % 2 == 1 and Capability.MERGE_OUT in self.claims)
            if late:
                self.settle()
            self.unsettled = record, step
            if not late:
                self.settle()
            self._watch(record, list(step.results))
        except Exception as error:
            self.trace.crashes.append(Crash("step", ", ".join(s.chunk.request_id for s in scheduled), error))
            if self.trace.has_device:
                record.results = []  # some may still be the live ones, which only the device can read
        self.rig.place.read(record, self._calls)
        record.moved_bytes = self.rig.port.moved_bytes - moved
        record.cache_bytes = self.rig.cache.nbytes if self.rig.cache else 0
        return record

    def settle(self) -> None:
        """The step that is not settled yet, if there is one."""
        if self.unsettled is None:
            return
        (record, step), self.unsettled = self.unsettled, None
        record.settled = list(step.settle())
        if record is self.trace.steps[-1]:
            return
        self.trace.reach.add("settled after the next step began")
        lost = {failure.request_id for failure in record.settled}
        for s in record.scheduled:
            if s.entry is not None and s.entry.id in lost:
                self._lost(s.entry)

    def _note_strays(self, record: StepRecord, whose: str, *tensors: Tensor) -> None:
        """Notes where rows are that are not where they should be."""
        wrong = {tensor.device for tensor in tensors} - {self.rig.port.device}
        record.elsewhere += [f"rows of {whose} are on {device}" for device in wrong]

    def _keep_copies(self, record: StepRecord) -> None:
        for k, result in enumerate(record.results):

            def keep(seen: Rows | Failure, k: int = k) -> None:
                record.results[k] = copy_of(seen)

            self.rig.place.read(result, keep)

    def _calls(self, record: StepRecord) -> None:
        calls = self.rig.tower.calls
        record.calls, self.calls_seen = calls[self.calls_seen :], len(calls)

    def _watch(self, record: StepRecord, live: list[Rows | Failure]) -> None:
        """Looks whether settling changed a result, and remembers results that must last until their next chunk."""
        self.lasting += [
            (record, s.entry, k, now)
            for k, (s, now) in enumerate(zip(record.scheduled, live, strict=False))
            if s.entry is not None and s.entry.state == "running" and not s.fault and isinstance(now, Rows)
        ]
        lost = {f.request_id for f in record.settled}
        self.lasting = [kept for kept in self.lasting if kept[1].id not in lost]
        self._compare_lasting()

    def _look_again(self, scheduled: list[Scheduled]) -> None:
        """Before the next step: results of requests that neither ended nor were sent back. Those that have no chunk in it
        must last longer."""
        self.lasting = [kept for kept in self.lasting if kept[1].state == "running"]
        self._compare_lasting()
        going_on = {s.chunk.request_id for s in scheduled}
        self.lasting = [kept for kept in self.lasting if kept[1].id not in going_on]
        if self.lasting:
            self.trace.reach.add("a result that lasts beyond the next step")

    def _compare_lasting(self) -> None:
        for record, e, k, now in self.lasting:

            def compare(seen: Rows, record: StepRecord = record, e: Entry = e, k: int = k) -> None:
                if e.id not in record.changed and not same(record.results[k], seen):
                    record.changed.append(e.id)

            self.rig.place.read(now, compare)

    def _merge(self, record: StepRecord, results: list[Rows | Failure], out: bool) -> None:
        rows = [r for r in results if isinstance(r, Rows)]
        entries = {s.entry.id: s.entry for s in record.scheduled if s.entry}
        rows = [r for r in rows if r.request_id in entries and 0 <= r.lo < r.hi]
        if not rows:
            return
        if record.number % 3 == 2:  # as another maker's parts give them
            rows = [Rows(r.request_id, r.lo, r.hi, r.positions, r.rows, r.side) for r in rows]
        ids = self.ids(torch.cat([entries[r.request_id].prepared.token_ids[r.lo : r.hi] for r in rows]))
        spec = self.rig.runtime.spec
        # One of a larger buffer's rows and columns, as where a model keeps room for more tokens and for other inputs.
        room = (len(ids) + 2, 2 * spec.hidden_size) if out else (0, 0)
        around = torch.full(room, float("nan"), dtype=spec.dtype, device=self.rig.port.device)
        buffer = around[1:-1, : spec.hidden_size] if out else None
        before, read = ids.clone(), self.rig.place.read
        given: list[Rows] = []
        read(rows, lambda seen: given.extend(copy_of(r) for r in seen))  # type: ignore[misc]
        read(None, lambda _: self.embedding.bad_ids.clear())
        self.embedding.step = record.number
        merged = self.rig.merge(rows if record.number % 2 else tuple(rows), ids, self.embedding, buffer)
        self._note_strays(record, "all together", merged.embeds, *merged.side)
        changed = any((tensor != torch.full_like(tensor, OVERWRITTEN)).any() for tensor in self.merged)
        if changed or not all(map(torch.Tensor.all, self.mask)):
            record.merge_notes.append("MERGE-008 what an earlier step merged has changed")
        self.merged = self.mask = ()
        if buffer is not None and merged.embeds.data_ptr() != buffer.data_ptr():
            record.merge_notes.append("MERGE-005 the result is not the buffer that was given")

        def judge(seen: tuple[list[Rows], Merged, Tensor]) -> None:
            if not (
                seen[2][:, spec.hidden_size :].isnan().all()
                and seen[2][:1].isnan().all()
                and seen[2][-1:].isnan().all()
            ):
                record.merge_notes.append("MERGE-005 something was written beside the buffer that was given")
            if self.embedding.bad_ids:
                record.merge_notes.append(f"MERGE-002 ids {self.embedding.bad_ids[:4]} reached the token embedding")
            if not torch.equal(before, ids) or any(not same(a, b) for a, b in zip(given, seen[0], strict=True)):
                record.merge_notes.append("MERGE-003 merging changed its input")
            embeds, mask, side = seen[1].embeds, seen[1].mask, seen[1].side
            record.merged = Merged(embeds.clone(), mask.clone(), tuple(s.clone() for s in side))
            for tensor in (embeds, *side):  # as a model does that adds in place
                tensor.fill_(OVERWRITTEN)
            if embeds is merged.embeds:  # and no copy of what is on a device
                self.merged, self.mask = (embeds, *side), (mask.fill_(True),)
            if any(not same(a, b) for a, b in zip(given, seen[0], strict=True)):
                record.merge_notes.append("MERGE-007 what was merged shares memory with the rows that it was made from")

        read((rows, merged, around), judge)
