"""Judges what each step gave: one result for each chunk, its positions and rows, and what merging made of them."""

from __future__ import annotations

import re

import torch

from plumbline import closed_form
from plumbline.bench import REFUSED, WRONG_ROWS, Bench
from plumbline.build import bits_of
from plumbline.interface import Capability, Failure, PlumblineError, Retention, Rows
from plumbline.judge_work import fingerprint
from plumbline.scenario import ItemRecipe
from plumbline.trace import Scheduled, StepRecord, items_of
from plumbline.wrong_row import first_wrong, told


class StepJudge(Bench):
    def go(self) -> None:
        for record in self.trace.steps:
            self.step(record)

    def step(self, record: StepRecord) -> None:
        if self.trace.has_device:
            self.check("MOVE-012", not record.elsewhere, f"step {record.number}: {', '.join(record.elsewhere)}")
        if self.crashed and not record.results:
            return
        scheduled = record.scheduled
        ids = [getattr(r, "request_id", None) for r in record.results]
        wanted = [s.chunk.request_id for s in scheduled]
        if not self.check("CHUNK-004", ids == wanted, f"step {record.number}: results of {ids} for chunks of {wanted}"):
            return
        wrong = len(self.verdicts.violations)
        for s, result in zip(scheduled, record.results, strict=True):
            self._result(record, s, result)
        for note in record.merge_notes:
            requirement, _, message = note.partition(" ")
            self.check(requirement, False, f"step {record.number}: {message}")
        for requirement in ("MERGE-002", "MERGE-003", "MERGE-007", "MERGE-008"):
            self.check(requirement, True)
        if self.claimed(Capability.MERGE_OUT) and record.number % 2:
            self.check("MERGE-005", True)
        if record.merged is not None and len(self.verdicts.violations) == wrong:
            self._merged(record)
        self.check(
            "CHUNK-008", not record.changed, f"step {record.number}: results of {record.changed} changed afterwards"
        )
        if self.trace.scenario.lazy:
            due = {
                (s.chunk.request_id, k)
                for s in (*scheduled, *self._settled_in(record))
                if s.entry and not s.fault
                for k in items_of(self.tower, s)
            }
            early = [f"item {k} of request {e.id}" for e, k in record.opened if (e.id, k) not in due]
            self.check("LIFE-007", not early, f"step {record.number} opened {', '.join(early)}, and has no chunk of it")
        if self.claimed(Capability.CACHE):
            over = f"step {record.number}: {record.cache_bytes} bytes in a cache of {self.trace.cache_budget}"
            self.check("CACHE-004", record.cache_bytes <= self.trace.cache_budget, over)

    def _result(self, record: StepRecord, s: Scheduled, result: Rows | Failure) -> None:
        where = f"step {record.number}, request {s.chunk.request_id} [{s.chunk.lo}, {s.chunk.hi})"
        error = result.error if isinstance(result, Failure) else None
        if error is not None:
            self.check("ISO-003", isinstance(error, PlumblineError), f"{where}: {error!r}")
            self._names_nobody_else(where, s.chunk.request_id, error)
        name = type(error).__name__ if error else "rows"
        if s.fault or s.entry is None:
            self.check("CHUNK-005", name == s.fault, f"{where} must fail with {s.fault}, got {name}")
            return
        needed = list(self.needed(s).values())
        if s.served_epoch is not None and s.served_epoch != record.epoch:
            self.check(
                "EPOCH-002", name == "EpochChanged", f"{where} was served under epoch {s.served_epoch}, got {name}"
            )
            return
        released = self._released(s)
        if name == "PayloadMissing" and released:
            kept = (
                f"{where} needs payloads that were let go, and was to run again from {self.trace.retention}: {error!r}"
            )
            self.check("LIFE-011", self._gone(record, released), kept)
            return
        if name == "PayloadMissing" and any(item.gone for item in needed):
            return
        fenced = any(closed_form.truth(self.tower, i) in self.fenced for i in needed)
        if any(item.fault for item in needed) and not fenced:
            zeros = " of zeros" if isinstance(result, Rows) and not bits_of(result.rows).any() else ""
            self.check("ENC-006", name == "EncodingFailed", f"{where} needs a faulty item, got {name}{zeros}")
            return
        if error is not None:
            if fenced and name == "EncodingFailed":
                return  # the tower may fail on what it reads behind a fence
            if name == "EncodingFailed" and self._in_failed_call(record, needed):
                return
            if name == "EpochChanged":
                self.check("EPOCH-002", False, f"{where} was served under no other epoch since its start, got {name}")
            elif not self.may_refuse(s.entry.submission.recipe, error):
                self.check(REFUSED, False, f"{where} is valid and failed: {error!r}")
            return
        assert isinstance(result, Rows)
        lost = {f.request_id: f.error for f in record.settled}
        if s.chunk.request_id in lost:
            self._names_nobody_else(where, s.chunk.request_id, lost[s.chunk.request_id])
            taken = type(lost[s.chunk.request_id]).__name__ == "LeaseLost" and fenced
            self.check("LIFE-009", taken, f"{where} was taken back: {lost[s.chunk.request_id]!r}")
            return
        if fenced:
            self.check("LIFE-009", True)
        self._rows(record, s, result, where)

    def _names_nobody_else(self, where: str, own: str, error: PlumblineError) -> None:
        others = {s.chunk.request_id for step in self.trace.steps for s in step.scheduled} - {own}
        named = sorted(others & set(re.findall(r"[\w#]+", str(error))))
        self.check("ISO-003", not named, f"{where}: its error names {', '.join(named)}: {error}")

    def _in_failed_call(self, record: StepRecord, needed: list[ItemRecipe]) -> bool:
        """Whether the tower raised in a call with one of these items, by no item's fault and not by the encoder's."""
        wanted = {fingerprint(self.tower, item) for item in needed}
        every = [item for s in self.trace.submissions for item in s.recipe.items]
        faulty = {fingerprint(self.tower, item) for item in every if item.fault}
        calls = [set(call.items) for call in record.calls if call.failed and not call.contradiction]
        return any(wanted & call and not faulty & call for call in calls)

    def _released(self, s: Scheduled) -> list[int]:
        """Of the payloads that the chunk needs again, the epochs in which they were let go."""
        return [s.released[index] for index in self.needed(s).keys() & s.released.keys() - s.underway]

    def _gone(self, record: StepRecord, released: list[int]) -> bool:
        """Whether something was not kept as declared: nothing is, or rows of other weights."""
        if self.trace.retention is Retention.ROWS:
            return any(epoch != record.epoch for epoch in released)
        return self.trace.retention is Retention.RESEND

    def _rows(self, record: StepRecord, s: Scheduled, result: Rows, where: str) -> None:
        assert s.entry
        recipe, hidden = s.entry.submission.recipe, self.tower.hidden
        owner = closed_form.lay_out(self.tower, recipe).owner
        at = [p for p in range(s.chunk.lo, s.chunk.hi) if owner[p] is not None]
        good = result.positions.dtype is torch.int64 and result.positions.device.type == "cpu"
        got = result.positions.tolist() if good else None
        if not self.check("CHUNK-006", got == at, f"{where} has positions {got} for {at}"):
            return
        levels = (result.rows, *result.side)
        shapes = [tuple(level.shape) for level in levels]
        expected = [(len(at), hidden)] * (1 + self.tower.side_levels)
        shape_id = "CHUNK-007" if not at else WRONG_ROWS
        if not self.check(shape_id, shapes == expected, f"{where} has rows of {shapes} for {expected}"):
            return
        dtype = getattr(torch, self.tower.row_dtype)
        if not self.check(
            WRONG_ROWS, all(x.dtype is dtype for x in levels), f"{where} has rows of {[x.dtype for x in levels]}"
        ):
            return
        for level, tensor in enumerate(levels):
            wrong = first_wrong(self.trace.scenario, s, bits_of(tensor), level, record)
            said = f"{where}: {told(wrong, self.trace.scenario)}" if wrong else ""
            self.check(WRONG_ROWS, wrong is None, said, wrong)

    def _settled_in(self, record: StepRecord) -> list[Scheduled]:
        """Chunks of the step that was settled while this one ran: whoever keeps payloads on the host reads them then."""
        if not self.trace.scenario.settle_late:
            return []
        before = [step for step in self.trace.steps if step.number < record.number]
        return before[-1].scheduled if before else []

    def _merged(self, record: StepRecord) -> None:
        merged = record.merged
        assert merged is not None
        pairs = [
            (s, r)
            for s, r in zip(record.scheduled, record.results, strict=True)
            if isinstance(r, Rows) and s.entry is not None and not s.fault
        ]
        where = f"step {record.number}"
        embeds, masks, sides = [], [], [[] for _ in range(self.tower.side_levels)]  # type: ignore[var-annotated]
        for s, r in pairs:
            assert s.entry
            prompt = closed_form.lay_out(self.tower, s.entry.submission.recipe)
            lo, hi = s.chunk.lo, s.chunk.hi
            mask = torch.tensor([at is not None for at in prompt.owner[lo:hi]])
            ids = torch.tensor(prompt.token_ids[lo:hi])
            table = -(1 + record.number % 2) * (torch.where(mask, 0, ids) + 1)
            text = table.to(r.rows.dtype)[:, None].expand(-1, self.tower.hidden).clone()
            text[mask] = r.rows
            embeds.append(text)
            masks.append(mask)
            for level, side in enumerate(r.side):
                sides[level].append(side)
        wanted, mask = torch.cat(embeds), torch.cat(masks)
        shape = merged.embeds.shape == wanted.shape and merged.embeds.dtype is wanted.dtype
        same = shape and torch.equal(bits_of(merged.embeds), bits_of(wanted))
        said = f"{where}: merged {tuple(merged.embeds.shape)} {merged.embeds.dtype} for {tuple(wanted.shape)}, or other values"
        self.check("MERGE-001", same and torch.equal(merged.mask, mask), said)
        if self.tower.side_levels:
            right = len(merged.side) == len(sides) and all(
                a.shape == torch.cat(b).shape and torch.equal(bits_of(a), bits_of(torch.cat(b)))
                for a, b in zip(merged.side, sides, strict=False)
            )
            self.check("MERGE-004", right, f"{where}: side rows are not those of the step's placeholders")
