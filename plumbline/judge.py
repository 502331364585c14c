"""Judges a trace by every requirement that applies to it, against the closed form.

Two verdicts are provisional: WRONG_ROWS and REFUSED say what happened, not why. ``diagnose.py`` finds the requirement, by
seeing which simplification of the scenario makes them go away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from plumbline import closed_form
from plumbline.build import bits_of, listed, payload_of, tensor_of_bits
from plumbline.engine import Crash, Entry, Scheduled, StepRecord, Submission, Trace, items_of
from plumbline.interface import Capability, CapabilityMissing, Failure, PlumblineError, Prepared, Rows
from plumbline.malformed import FAULTS
from plumbline.scenario import ITEMSIZE, ItemRecipe, RequestRecipe, TowerRecipe

WRONG_ROWS, REFUSED = "rows", "refused"


@dataclass(frozen=True)
class Violation:
    """requirement: an id, or one of the two provisional verdicts."""

    requirement: str
    message: str


@dataclass
class Verdicts:
    judged: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    capability_missing: int = 0


def needs(tower: TowerRecipe, recipe: RequestRecipe) -> set[Capability]:
    """What a request asks of an implementation beyond the core."""
    found: set[Capability] = set()
    if tower.side_levels:
        found.add(Capability.SIDE_ROWS)
    for item in recipe.items:
        grid = closed_form.has_grid(tower, item.modality)
        if item.modality == "video":
            found.add(Capability.VIDEO)
        elif item.pieces > 1 and closed_form.row_count(tower, item) > 1:
            found.add(Capability.SEVERAL_SPANS)
        if not grid or len(item.parts) != 1:
            found.add(Capability.TILES)
        if item.source == "precomputed":
            found.add(Capability.PRECOMPUTED)
        if item.given:
            found.add(Capability.CALLER_KEYS)
        if item.extras:
            found.add(Capability.EXTRAS)
    return found


@lru_cache(maxsize=4096)
def expected_rows(tower: TowerRecipe, item: ItemRecipe, epoch: int, level: int) -> Tensor:
    """[R, hidden] bit patterns of an item's rows at one side level (0: the main rows)."""
    rows = closed_form.rows(tower, item, epoch)[level]
    return bits_of(tensor_of_bits(rows, tower.hidden, tower.row_dtype))


def judge(trace: Trace, claims: frozenset[Capability]) -> Verdicts:
    """All verdicts on one trace."""
    j = _Judge(trace, claims)
    j.crashes()
    for submission in trace.submissions:
        j.submission(submission)
    j.identities()
    j.prefix_keys()
    for record in trace.steps:
        j.step(record)
    j.lifecycle()
    j.work()
    return j.verdicts


class _Judge:
    def __init__(self, trace: Trace, claims: frozenset[Capability]) -> None:
        self.trace, self.claims = trace, claims
        self.tower = trace.scenario.tower
        self.verdicts = Verdicts()
        self.crashed = bool(trace.crashes)
        self.fenced = {
            closed_form.truth(self.tower, item)
            for s in trace.submissions
            for item in s.recipe.items
            if item.fence and trace.scenario.lazy
        }
        self.faulty = any(i.fault for s in trace.submissions for i in s.recipe.items)

    def check(self, requirement: str, holds: bool, message: str = "") -> bool:
        self.verdicts.judged[requirement] += 1
        if not holds:
            self.verdicts.violations.append(Violation(requirement, message))
        return holds

    def claimed(self, *capabilities: Capability) -> bool:
        return all(c in self.claims for c in capabilities)

    def may_refuse(self, recipe: RequestRecipe, error: BaseException) -> bool:
        """Whether CapabilityMissing is an answer here: something that the request needs is not claimed."""
        if isinstance(error, CapabilityMissing) and needs(self.tower, recipe) - self.claims:
            self.verdicts.capability_missing += 1
            return True
        return False

    # -- errors outside the interface

    def crashes(self) -> None:
        for crash in self.trace.crashes:
            self._crash(crash)
        self.check("LIFE-002", not self.trace.stuck, "requests were still unfinished when the engine gave up")

    def _crash(self, crash: Crash) -> None:
        where = f"{crash.phase}{' of ' + crash.request_id if crash.request_id else ''}"
        self.check(REFUSED, False, f"{where} raised {type(crash.error).__name__}: {crash.error}")
        typed = isinstance(crash.error, PlumblineError)
        self.check("ISO-003", typed, f"{where} raised {type(crash.error).__name__}, not a PlumblineError: {crash.error}")

    # -- preparation

    def submission(self, s: Submission) -> None:
        where = f"request {s.request.request_id}"
        if isinstance(s.result, Crash):
            if s.broken:
                f = FAULTS[s.recipe.malformed]
                self.check(f.requirement, False, f"{s.recipe.malformed}: prepare raised {s.result.error!r}")
            self._crash(s.result)
            return
        if not self.check("PREP-006", s.result is not None, f"{where} got no result of its own"):
            return
        self.check("PREP-012", not s.changed, f"{where}: {s.changed}")
        result_id = getattr(s.result, "request_id", None)
        self.check("PREP-006", result_id == s.request.request_id, f"{where} got the result of {result_id}")
        if s.broken:
            self._refusal(s, where)
        elif isinstance(s.result, Failure):
            if not self.may_refuse(s.recipe, s.result.error):
                self.check(REFUSED, False, f"{where} is valid and was refused: {s.result.error!r}")
        elif isinstance(s.result, Prepared):
            self.check("ISO-001", True)
            self._prepared(s, s.result, where)

    def _refusal(self, s: Submission, where: str) -> None:
        expected = FAULTS[s.recipe.malformed]
        names = " or ".join(e.__name__ for e in expected.errors)
        got = s.result.error if isinstance(s.result, Failure) else None
        if got is not None and self.may_refuse(s.recipe, got):
            return
        came = repr(got) if got else "a prepared request"
        said = f"{where} ({s.recipe.malformed}) must be refused with {names}, got {came}"
        self.check(expected.requirement, isinstance(got, expected.errors), said)
        if got is not None:
            self.check("ISO-003", bool(got.what and got.where), f"{where}: the error says too little: {got!r}")

    def _prepared(self, s: Submission, p: Prepared, where: str) -> None:
        self.check("PREP-003", torch.equal(p.token_ids, s.request.token_ids), f"{where}: the token ids changed")
        recipes = [s.recipe.items[i] for i in listed(s.recipe)]
        spans = closed_form.lay_out(self.tower, s.recipe).spans
        count = f"{where} has {len(p.items)} items and {len(p.identities)} identities for {len(recipes)} images"
        if not self.check("PREP-001", len(p.items) == len(p.identities) == len(recipes), count):
            return
        for k, (item, recipe) in enumerate(zip(p.items, recipes, strict=True)):
            at = f"{where}, item {k}"
            split = "PREP-002" if recipe.source == "precomputed" else "PREP-001"
            self.check(split, item.spans == spans[listed(s.recipe)[k]], f"{at} has spans {item.spans}")
            parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
            wanted = payload_of(self.tower, recipe)
            same = len(parts) == len(wanted) and all(
                isinstance(a, Tensor) and a.dtype is b.dtype and a.shape == b.shape and torch.equal(bits_of(a), bits_of(b))
                for a, b in zip(parts, wanted, strict=False)
            )
            self.check(split, same, f"{at} does not have its own payload")
            self._metadata(item.grid_thw, recipe, at)
            extras = {e.name: e.value for e in recipe.extras}
            got = {n: _plain(e.value) for n, e in item.extras.items() if n in extras}
            if recipe.extras:
                self.check("PREP-005", got == extras, f"{at} has extras {got} for {extras}")
            if recipe.given:
                keys = [(g.tenant, g.key) for g in item.given]
                self.check("PREP-001", keys == [(recipe.given.tenant, recipe.given.key)], f"{at} has caller keys {keys}")
        if not self.trace.scenario.prepare_together:
            self.check("PREP-011", s.identified == len(recipes), f"{where}: {s.identified} identifications, {len(recipes)} items")

    def _metadata(self, grid: Tensor | None, recipe: ItemRecipe, at: str) -> None:
        if recipe.grid is None:
            self.check("PREP-004", grid is None, f"{at} got a grid")
            return
        good = grid is not None and grid.dtype is torch.int64 and grid.device.type == "cpu" and grid.shape == (1, 3)
        if self.check("PREP-004", good, f"{at} has grid {grid!r}"):
            assert grid is not None
            self.check("PREP-001", tuple(grid[0].tolist()) == recipe.grid, f"{at} has grid {grid.tolist()}, not {recipe.grid}")

    # -- identity

    def _identified(self) -> Iterator[tuple[str, ItemRecipe, bytes]]:
        for s in self.trace.submissions:
            if isinstance(s.result, Prepared) and not s.broken and len(s.result.identities) == len(s.recipe.items):
                for k, i in enumerate(listed(s.recipe)):
                    yield f"{s.request.request_id}, item {k}", s.recipe.items[i], s.result.identities[k].digest

    def identities(self) -> None:
        by_truth: dict[object, tuple[str, ItemRecipe, bytes]] = {}
        by_digest: dict[bytes, tuple[str, ItemRecipe, object]] = {}
        for where, item, digest in self._identified():
            truth = closed_form.truth(self.tower, item)
            self.check("IDENT-001", isinstance(digest, bytes) and len(digest) >= 16, f"{where} has a digest of {len(digest)} bytes")
            if truth in by_truth:
                other, first, expected = by_truth[truth]
                self._equal(where, item, other, first, digest == expected)
            by_truth.setdefault(truth, (where, item, digest))
            if digest in by_digest and by_digest[digest][2] != truth:
                other, first, _ = by_digest[digest]
                for requirement in _difference(self.tower, first, item):
                    self.check(requirement, False, f"{where} and {other} differ and have one digest")
            elif digest not in by_digest:
                for other, first, _ in list(by_digest.values())[-4:]:
                    for requirement in _difference(self.tower, first, item):
                        self.check(requirement, True)
            by_digest.setdefault(digest, (where, item, truth))

    def _equal(self, where: str, item: ItemRecipe, other: str, first: ItemRecipe, same: bool) -> None:
        requirement = "IDENT-002"
        if {e for e in item.extras if not e.affects_rows} != {e for e in first.extras if not e.affects_rows}:
            requirement = "IDENT-005"
        elif item.source != first.source:
            requirement = "IDENT-006"
        elif item.given and item.given.trusted and closed_form.bits(self.tower, item) != closed_form.bits(self.tower, first):
            requirement = "IDENT-008"
        self.check(requirement, same, f"{where} and {other} are equal and have two digests")

    def prefix_keys(self) -> None:
        seen: list[tuple[str, list[int], tuple[object, ...]]] = []
        for s in self.trace.submissions:
            if not isinstance(s.result, Prepared) or s.broken:
                continue
            where, keys = f"request {s.request.request_id}", s.result.prefix_keys
            shape = isinstance(keys, Tensor) and keys.dtype is torch.int64 and keys.device.type == "cpu"
            if not self.check("PREFIX-004", shape and keys.shape == s.request.token_ids.shape, f"{where}: {keys.dtype} {keys.shape}"):
                continue
            truths = closed_form.position_truths(self.tower, s.recipe)
            values = keys.tolist()
            text = [k for k, t in enumerate(truths) if isinstance(t, int)]
            images = [k for k, t in enumerate(truths) if not isinstance(t, int)]
            self.check("PREFIX-001", all(values[k] == truths[k] for k in text), f"{where}: a text position has another key")
            outside = all(not 0 <= values[k] < 2**31 for k in images)
            self.check("PREFIX-004", outside, f"{where}: a placeholder's key is a possible token id")
            for other, other_values, other_truths in seen:
                self._prefixes(where, values, truths, other, other_values, other_truths)
            seen.append((where, values, truths))

    def _prefixes(
        self, a: str, keys_a: list[int], truths_a: tuple[object, ...], b: str, keys_b: list[int], truths_b: tuple[object, ...]
    ) -> None:
        length = min(len(keys_a), len(keys_b))
        same_keys = next((k for k in range(length) if keys_a[k] != keys_b[k]), length)
        same_truths = next((k for k in range(length) if truths_a[k] != truths_b[k]), length)
        said = f"{a} and {b} have equal keys over {same_keys} positions and equal content over {same_truths}"
        self.check("PREFIX-002", same_keys <= same_truths, said)
        self.check("PREFIX-003", same_keys >= same_truths, said)

    # -- steps

    def step(self, record: StepRecord) -> None:
        if self.crashed and not record.results:
            return
        scheduled = record.scheduled
        ids = [getattr(r, "request_id", None) for r in record.results]
        wanted = [s.chunk.request_id for s in scheduled]
        if not self.check("CHUNK-004", ids == wanted, f"step {record.number}: results of {ids} for chunks of {wanted}"):
            return
        for s, result in zip(scheduled, record.results, strict=True):
            self._result(record, s, result)
        for note in record.merge_notes:
            requirement, _, message = note.partition(" ")
            self.check(requirement, False, f"step {record.number}: {message}")
        for requirement in ("MERGE-002", "MERGE-003"):
            self.check(requirement, True)
        if self.claimed(Capability.MERGE_OUT) and record.number % 2:
            self.check("MERGE-005", True)
        if record.merged is not None:
            self._merged(record)
        if self.trace.scenario.lazy:
            self.check("LIFE-007", not record.opened_early, f"step {record.number} opened {record.opened_early} before its chunk")
        if self.claimed(Capability.CACHE):
            over = f"step {record.number}: {record.cache_bytes} bytes in a cache of {self.trace.cache_budget}"
            self.check("CACHE-004", record.cache_bytes <= self.trace.cache_budget, over)

    def _needed(self, s: Scheduled) -> list[ItemRecipe]:
        if s.entry is None or s.fault:
            return []
        return [s.entry.submission.recipe.items[i] for i in sorted(items_of(self.tower, s, listed_order=False))]

    def _result(self, record: StepRecord, s: Scheduled, result: Rows | Failure) -> None:
        where = f"step {record.number}, request {s.chunk.request_id} [{s.chunk.lo}, {s.chunk.hi})"
        error = result.error if isinstance(result, Failure) else None
        if error is not None:
            self.check("ISO-003", isinstance(error, PlumblineError), f"{where}: {error!r}")
        name = type(error).__name__ if error else "rows"
        if s.fault or s.entry is None:
            self.check("CHUNK-005", name == s.fault, f"{where} must fail with {s.fault}, got {name}")
            return
        needed = self._needed(s)
        if s.served_epoch is not None and s.served_epoch != record.epoch:
            self.check("EPOCH-002", name == "EpochChanged", f"{where} was served under epoch {s.served_epoch}, got {name}")
            return
        if any(item.fault for item in needed):
            self.check("ENC-006", name == "EncodingFailed", f"{where} needs a faulty item, got {name}")
            return
        if error is not None:
            if not self.may_refuse(s.entry.submission.recipe, error):
                self.check(REFUSED, False, f"{where} is valid and failed: {error!r}")
            return
        assert isinstance(result, Rows)
        lost = {f.request_id: f.error for f in record.settled}
        fenced = any(closed_form.truth(self.tower, i) in self.fenced for i in needed)
        if s.chunk.request_id in lost:
            taken = type(lost[s.chunk.request_id]).__name__ == "LeaseLost" and fenced
            self.check("LIFE-009", taken, f"{where} was taken back: {lost[s.chunk.request_id]!r}")
            return
        if fenced:
            self.check("LIFE-009", True)
        self._rows(record, s, result, where)

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
        if not self.check(WRONG_ROWS, all(x.dtype is dtype for x in levels), f"{where} has rows of {[x.dtype for x in levels]}"):
            return
        for level, tensor in enumerate(levels):
            wrong = self._compare(recipe, owner, at, bits_of(tensor), record.epoch, level)
            self.check(WRONG_ROWS, not wrong, f"{where}{f', side level {level}' if level else ''}: {wrong}")

    def _expected(self, recipe: RequestRecipe, owner: object, at: list[int], epoch: int, level: int) -> Tensor:
        pieces = []
        for p in at:
            item, row = owner[p]  # type: ignore[index]
            pieces.append(expected_rows(self.tower, recipe.items[item], epoch, level)[row])
        size = ITEMSIZE[self.tower.row_dtype]
        empty = torch.empty(0, self.tower.hidden, dtype={2: torch.int16, 4: torch.int32}[size])
        return torch.stack(pieces) if pieces else empty

    def _compare(self, recipe: RequestRecipe, owner: object, at: list[int], got: Tensor, epoch: int, level: int) -> str:
        """Empty if the bits are right; else the first wrong row, and whose row it is."""
        expected = self._expected(recipe, owner, at, epoch, level)
        if torch.equal(got, expected):
            return ""
        k = int((got != expected).any(1).nonzero()[0])
        item, row = owner[at[k]]  # type: ignore[index]
        return f"position {at[k]} must hold row {row} of item {item}, and holds {self._whose(got[k], epoch)}"

    def _whose(self, row: Tensor, epoch: int) -> str:
        """The reverse index: which item's row, of which request, side level and epoch, this is."""
        for s in self.trace.submissions:
            for i, item in enumerate(s.recipe.items):
                for e in (epoch, *(e for e in range(3) if e != epoch)):
                    for level in range(1 + self.tower.side_levels):
                        rows = expected_rows(self.tower, item, e, level)
                        same = (rows == row).all(1).nonzero() if len(rows) else rows
                        if len(same):
                            place = f"row {int(same[0])} of item {i} of request {s.request.request_id}"
                            notes = [f"side level {level}"] * bool(level) + [f"epoch {e}"] * (e != epoch)
                            return place + (f" ({', '.join(notes)})" if notes else "")
        return "no item's row" + (", but zeros" if not row.any() else "")

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
            text = -(torch.where(mask, 0, ids) + 1).to(r.rows.dtype)[:, None].expand(-1, self.tower.hidden).clone()
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

    # -- lifecycle and work

    def lifecycle(self) -> None:
        for e in self.trace.entries:
            lazy = Capability.LAZY not in self.claims and self.trace.scenario.lazy
            if e.refused is not None and not lazy and not self.may_refuse(e.submission.recipe, e.refused):
                self.check(REFUSED, False, f"request {e.id} is valid and was not admitted: {e.refused!r}")
        for api in self.trace.api:
            requirement = "LIFE-004" if api.kind == "admit_twice" else "LIFE-005"
            got = type(api.got).__name__ if api.got else "nothing"
            self.check(requirement, got == api.expected, f"{api.kind} must raise {api.expected}, and raised {got}")
        if self.trace.scenario.lazy and not self.crashed:
            self.check("LIFE-006", not self.trace.unreleased, f"finished without releasing {self.trace.unreleased[:3]}")
            for e in self.trace.entries:
                late = [k for k, fs in e.features.items() if any("open after release" in f.events for f in fs)]
                self.check("LIFE-008", not late, f"request {e.id} opened item {late} after its release")

    def work(self) -> None:
        if self.crashed:
            return
        encoded: Counter[object] = Counter()
        for record in self.trace.steps:
            self._work_of(record, encoded)
        if self.claimed(Capability.CACHE) and not self.fenced and not self.faulty and self._all_fit():
            allowed = self._distinct()
            twice = [k for k, n in encoded.items() if n > allowed.get(k, 1)]
            self.check("CACHE-008", not twice, f"{len(twice)} items were encoded again though the cache holds all of them")

    def _fingerprint(self, item: ItemRecipe) -> tuple[object, ...]:
        return _fingerprint(self.tower, item)

    def _distinct(self) -> dict[object, int]:
        """By fingerprint and epoch: how many items of different identity look alike to a tower."""
        truths: dict[object, set[object]] = {}
        for s in self.trace.submissions:
            for item in s.recipe.items:
                truths.setdefault(self._fingerprint(item), set()).add(closed_form.truth(self.tower, item))
        return {(f, e): len(t) for f, t in truths.items() for e in range(3)}

    def _all_fit(self) -> bool:
        rows: dict[object, int] = {}
        for s in self.trace.submissions:
            for item in s.recipe.items:
                if item.source != "precomputed":
                    rows[closed_form.truth(self.tower, item)] = closed_form.row_count(self.tower, item)
        epochs = 1 + sum(op.kind == "epoch" for op in self.trace.scenario.ops)
        return sum(rows.values()) * epochs <= self.trace.scenario.cache_rows

    def _work_of(self, record: StepRecord, encoded: Counter[object]) -> None:
        where, budget = f"step {record.number}", self.trace.scenario.patches_per_call
        for call in record.calls:
            inside = call.patches <= budget or len(call.items) <= 1
            self.check("ENC-003", inside, f"{where}: a call of {call.patches} patches, {len(call.items)} items, budget {budget}")
        needs = [(s, item) for s in record.scheduled for item in self._needed(s)]
        needed = {self._fingerprint(item) for _, item in needs if item.source != "precomputed"}
        done: Counter[object] = Counter(f for call in record.calls for f in call.items)
        precomputed = {self._fingerprint(item) for _, item in needs if item.source == "precomputed"} - needed
        if precomputed:
            self.check("ENC-008", not precomputed & set(done), f"{where}: precomputed rows went through the tower")
        strange = [f for f in done if f not in needed]
        known = {self._fingerprint(i) for s in self.trace.submissions for i in s.recipe.items}
        early = [f for f in strange if f in known]
        self.check("WORK-001", not early, f"{where}: {len(early)} items were encoded whose rows no chunk of the step needs")
        failed = any(call.failed for call in record.calls)
        for f, n in done.items():
            encoded[f, record.epoch] += n
        if failed:
            return
        truths = {}
        for _, item in needs:
            truths.setdefault(self._fingerprint(item), set()).add(closed_form.truth(self.tower, item))
        if self.claimed(Capability.DEDUPE):
            twice = [f for f, n in done.items() if f in truths and n > len(truths[f])]
            self.check("ENC-007", not twice, f"{where}: {len(twice)} equal items were encoded more than once")
        if self.claimed(Capability.BATCHING):
            self._batched(record, where)
        if self.claimed(Capability.HOLDING):
            self._held(record, needs, done, where)
        if self.claimed(Capability.PORT) and not self.trace.scenario.lazy:
            self._moves(record, needs, done, where)

    def _batched(self, record: StepRecord, where: str) -> None:
        groups: dict[object, list[int]] = {}
        for call in record.calls:
            kinds = {(f[0], f[3]) for f in call.items}
            if len(kinds) == 1:
                groups.setdefault(kinds.pop(), []).append(call.patches)
        budget = self.trace.scenario.patches_per_call
        for kind, sizes in groups.items():
            fits = sum(sizes) <= budget
            limit = 1 if fits else sum(x > budget for x in sizes) + 2 * -(-sum(sizes) // max(budget, 1))
            said = f"{where}: {len(sizes)} calls of {sizes} patches of {kind}, budget {budget}"
            self.check("ENC-002", len(sizes) <= limit, said)

    def _held(self, record: StepRecord, needs: list[tuple[Scheduled, ItemRecipe]], done: Counter[object], where: str) -> None:
        fresh: set[object] = set()
        holding: dict[object, str] = {}
        for s, item in needs:
            f = self._fingerprint(item)
            underway = {s.entry.submission.recipe.items[i] for i in s.underway} if s.entry else set()
            stale = s.served_epoch is not None and s.served_epoch != record.epoch
            if item in underway and item.source != "precomputed" and not stale:
                holding[f] = s.chunk.request_id
            else:
                fresh.add(f)
        for f, request in holding.items():
            if f not in fresh:
                self.check("CHUNK-003", not done[f], f"{where}: an item that request {request} has rows of to come was encoded again")

    def _moves(self, record: StepRecord, needs: list[tuple[Scheduled, ItemRecipe]], done: Counter[object], where: str) -> None:
        size = {self._fingerprint(i): _payload_bytes(self.tower, i) for _, i in needs}
        rows = sum(_payload_bytes(self.tower, i) for _, i in needs if i.source == "precomputed")
        encoded = sum(size.get(f, 0) * n for f, n in done.items())
        moved = f"{where}: {record.moved_bytes} bytes moved for {encoded} encoded and {rows} precomputed"
        if self.tower.moves_input:
            self.check("MOVE-001", record.moved_bytes <= rows, moved)
        else:
            self.check("MOVE-002", record.moved_bytes >= encoded, moved)
            self.check("MOVE-003", record.moved_bytes <= encoded + rows, moved)


def _payload_bytes(tower: TowerRecipe, item: ItemRecipe) -> int:
    return sum(item.parts) * closed_form.patch_width(tower, item) * ITEMSIZE[item.dtype]


@lru_cache(maxsize=4096)
def _fingerprint(tower: TowerRecipe, item: ItemRecipe) -> tuple[object, ...]:
    """What ``RecordingTower`` sees of an item."""
    size = ITEMSIZE[item.dtype]
    data = b"".join(b.to_bytes(size, "little") for patch in closed_form.bits(tower, item) for b in patch)
    extras = [(e.name, str(list(e.value)) if isinstance(e.value, tuple) else repr(e.value)) for e in item.extras if e.affects_rows]
    extras += [("fault", "1")] * item.fault
    return item.modality, item.grid, item.parts, f"torch.{item.dtype}", tuple(sorted(extras)), data


def _plain(value: object) -> object:
    return tuple(value.tolist()) if isinstance(value, Tensor) else value


def _difference(tower: TowerRecipe, a: ItemRecipe, b: ItemRecipe) -> list[str]:
    """The requirements that forbid two different items to share a digest."""
    if bool(a.given) != bool(b.given):
        return ["IDENT-010"]
    found = []
    if a.given and b.given:
        if a.given.tenant != b.given.tenant:
            return ["ISO-005"]
        if a.given.trusted and b.given.trusted:
            return ["IDENT-008"]
        if a.given.key != b.given.key:
            return ["IDENT-008"] if a.given.trusted or b.given.trusted else []
        found.append("IDENT-009")
    same_bytes = _fingerprint(tower, a)[5] == _fingerprint(tower, b)[5]
    found.append("IDENT-004" if same_bytes else "IDENT-003")
    return found
