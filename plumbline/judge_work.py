"""Judges the course of a run: errors outside the interface, lifecycle calls, lazy payloads, and the work done."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

from plumbline import closed_form
from plumbline.bench import REFUSED, Bench, judge_leases
from plumbline.interface import Capability, Retention, Rows
from plumbline.rig import Fingerprint, content
from plumbline.scenario import AFTER_FAILURE, ITEMSIZE, ItemRecipe, TowerRecipe
from plumbline.trace import Scheduled, StepRecord, listed_recipes

Need = tuple[Scheduled, int, ItemRecipe]
"""A chunk and an item, by index, whose rows it needs."""


class WorkJudge(Bench):
    def go(self) -> None:
        self.crashes()
        self.lifecycle()
        self.work()

    def crashes(self) -> None:
        for crash in self.trace.crashes:
            self.crash(crash)
        self.check("LIFE-002", not self.trace.stuck, "requests were still unfinished when the engine gave up")
        said = f"afterwards the process had other settings: {', '.join(self.trace.disturbed)}"
        self.check("ISO-007", not self.trace.disturbed, said)

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
            judge_leases(self.trace, self.check)

    def work(self) -> None:
        if self.crashed:
            return
        for record in self.trace.steps:
            self._work_of(record)
        if self.claimed(Capability.CACHE, Capability.DEDUPE) and self._all_fit() and not self._epoch_comes_back():
            again = self._encoded_again()
            self.check(
                "CACHE-008", not again, f"{len(again)} items were encoded again though the cache holds all of them"
            )

    def _encoded_again(self) -> list[Fingerprint]:
        """Those that a step encoded after the rows of as many encodings as there are items had been delivered and settled."""
        late, distinct = int(self.trace.scenario.settle_late), self._distinct()
        smooth = not (late or self.fenced or self.faulty)
        steps: dict[tuple[Fingerprint, int], list[int]] = defaultdict(list)
        again: list[Fingerprint] = []
        for number, record in enumerate(self.trace.steps):
            lost = {failure.request_id for failure in record.settled}
            whole = [
                s
                for s, result in zip(record.scheduled, record.results, strict=False)
                if isinstance(result, Rows) and s.chunk.request_id not in lost
            ]
            delivered = {fingerprint(self.tower, item) for s in whole for item in self.needed(s).values()}
            for call in record.calls:
                for f in call.items:
                    items = distinct.get(f, 1)
                    settled = [n for n in steps[f, record.epoch] if n < number - late]
                    # Of items that look alike to a tower nobody knows whose encoding was in vain.
                    if len(settled) >= items and (smooth or items == 1):
                        again.append(f)
            for call in record.calls:
                for f in call.items if not call.failed else ():
                    steps[f, record.epoch] += [number] if f in delivered else []
        return again

    def _distinct(self) -> dict[Fingerprint, int]:
        """By fingerprint: how many items of different identity look alike to a tower."""
        truths: dict[Fingerprint, set[object]] = {}
        for s in self.trace.submissions:
            for item in s.recipe.items:
                truths.setdefault(fingerprint(self.tower, item), set()).add(closed_form.truth(self.tower, item))
        return {f: len(t) for f, t in truths.items()}

    def _epoch_comes_back(self) -> bool:
        """What was cached of it may have been dropped in between."""
        epochs = [k for k, _ in itertools.groupby(record.epoch for record in self.trace.steps)]
        changes = self.trace.scenario.epochs
        return len(set(epochs)) < len(epochs) or len({0, *changes}) < 1 + len(changes)

    def _all_fit(self) -> bool:
        """Whether nothing ever had to be evicted, precomputed rows included, since a cache may keep them too."""
        rows: dict[object, int] = {}
        for s in self.trace.submissions:
            for item in s.recipe.items:
                rows[closed_form.truth(self.tower, item)] = closed_form.row_count(self.tower, item)
        epochs = 1 + len(self.trace.scenario.epochs)
        return sum(rows.values()) * epochs <= self.trace.scenario.cache_rows

    def _work_of(self, record: StepRecord) -> None:
        where, budget = f"step {record.number}", self.trace.scenario.patches_per_call
        for call in record.calls:
            inside = call.patches <= budget or len(call.items) <= 1
            self.check(
                "ENC-003",
                inside,
                f"{where}: a call of {call.patches} patches, {len(call.items)} items, budget {budget}",
            )
            self.check("ENC-001", not call.contradiction, f"{where}: a call contradicts itself: {call.contradiction}")
            if any(0 in parts for _, _, parts, *_ in call.items):  # else rows show it
                due = sum(len(closed_form.segments_of(self.tower, grid, parts)) for _, grid, parts, *_ in call.items)
                said = f"{where}: {call.segments} attention segments in a call, where {due} are due"
                self.check("ENC-005", call.segments == due, said)
        needs = [(s, index, item) for s in record.scheduled for index, item in self.needed(s).items()]
        needed = {fingerprint(self.tower, item) for _, _, item in needs if item.source != "precomputed"}
        done: Counter[Fingerprint] = Counter(f for call in record.calls for f in call.items)
        precomputed = {fingerprint(self.tower, item) for _, _, item in needs if item.source == "precomputed"} - needed
        if precomputed:
            self.check("ENC-008", not precomputed & set(done), f"{where}: precomputed rows went through the tower")
        strange = [f for f in done if f not in needed]
        known = {fingerprint(self.tower, i) for s in self.trace.submissions for i in s.recipe.items}
        early = [f for f in strange if f in known]
        self.check(
            "WORK-001", not early, f"{where}: {len(early)} items were encoded whose rows no chunk of the step needs"
        )
        if self.trace.scenario.lazy and self.trace.retention is not Retention.HOST:
            self._opened(record, done, where)
        failed = any(call.failed for call in record.calls)
        if self.claimed(Capability.HOLDING):
            self._held(record, needs, done, where)
        if failed:
            return
        truths: dict[Fingerprint, set[object]] = {}
        for _, _, item in needs:
            truths.setdefault(fingerprint(self.tower, item), set()).add(closed_form.truth(self.tower, item))
        if self.claimed(Capability.DEDUPE):
            twice = [f for f, n in done.items() if f in truths and n > len(truths[f])]
            self.check("ENC-007", not twice, f"{where}: {len(twice)} equal items were encoded more than once")
        again = any(item.gone for _, _, item in needs)  # an equal item's payload is read in a call of its own
        if self.claimed(Capability.BATCHING) and not again:
            self._batched(record, where)
        if self.claimed(Capability.PORT) and not self.trace.scenario.lazy:
            self._moves(record, needs, done, where)

    def _opened(self, record: StepRecord, done: Counter[Fingerprint], where: str) -> None:
        """Payloads of items whose rows were at hand, or came from another's payload."""
        items = [listed_recipes(e.submission.recipe)[k] for e, k in record.opened]
        whole = [i for i in items if not (i.gone or i.fence or i.source == "precomputed")]
        idle = Counter(fingerprint(self.tower, i) for i in whole if closed_form.row_count(self.tower, i)) - done
        self.check("LIFE-007", not idle, f"{where}: {idle.total()} payloads were opened of items that were not encoded")

    def _batched(self, record: StepRecord, where: str) -> None:
        groups: dict[object, list[int]] = {}
        mixed: set[object] = set()
        for call in record.calls:
            sizes_of: Counter[object] = Counter()
            for modality, _, parts, dtype, *_ in call.items:
                sizes_of[modality, dtype] += sum(parts)
            mixed |= sizes_of.keys() if len(sizes_of) > 1 else set()
            for kind, size in sizes_of.items():
                groups.setdefault(kind, []).append(size)
        budget = self.trace.scenario.patches_per_call
        for kind, sizes in groups.items():
            fits = sum(sizes) <= budget
            if kind in mixed and not fits:
                continue
            limit = 1 if fits else sum(x > budget for x in sizes) + 2 * -(-sum(sizes) // max(budget, 1))
            said = f"{where}: {len(sizes)} calls of {sizes} patches of {kind}, budget {budget}"
            self.check("ENC-002", len(sizes) <= limit, said)

    def _held(self, record: StepRecord, needs: Sequence[Need], done: Counter[Fingerprint], where: str) -> None:
        fresh: set[Fingerprint] = set()
        holding: dict[Fingerprint, str] = {}
        for s, index, item in needs:
            f = fingerprint(self.tower, item)
            stale = s.served_epoch is not None and s.served_epoch != record.epoch
            lost = closed_form.truth(self.tower, item) in self.fenced
            kept = index in s.underway or f in self._encoded_before(s, record)
            if kept and item.source != "precomputed" and not stale and not lost:
                holding[f] = s.chunk.request_id
            else:
                fresh.add(f)
        for f, request in holding.items():
            if f not in fresh:
                self.check(
                    "CHUNK-003",
                    not done[f],
                    f"{where}: an item that request {request} has rows of to come was encoded again",
                )

    def _encoded_before(self, s: Scheduled, record: StepRecord) -> set[Fingerprint]:
        """What was encoded for the same chunk, and for no other, when it failed by other items' fault."""
        found: set[Fingerprint] = set()
        between = [op for op in self.trace.scenario.ops if op.kind in ("epoch", "retract")]
        if s.retry_of is None or any(
            op.step == AFTER_FAILURE or s.retry_of < op.step <= record.number for op in between
        ):
            return found  # what was kept may have been dropped, and an epoch may have come back
        for one in self.trace.steps:
            if one.number == s.retry_of and one.epoch == record.epoch:
                others = [o for o in one.scheduled if o.chunk.request_id != s.chunk.request_id]
                theirs = {fingerprint(self.tower, item) for o in others for item in self.needed(o).values()}
                done = {f for call in one.calls if not call.failed for f in call.items}
                found |= {f for f in done - theirs if self._alone(f)}
        return found

    def _alone(self, f: Fingerprint) -> bool:
        """Whether one identity only looks like this to a tower."""
        items = [item for s in self.trace.submissions for item in s.recipe.items if fingerprint(self.tower, item) == f]
        return len({closed_form.truth(self.tower, item) for item in items}) == 1

    def _moves(self, record: StepRecord, needs: Sequence[Need], done: Counter[Fingerprint], where: str) -> None:
        sizes: dict[Fingerprint, list[int]] = {}
        for _, _, item in needs:
            sizes.setdefault(fingerprint(self.tower, item), []).append(self._bytes_on_the_host(item))
        rows = sum(self._bytes_on_the_host(i) for _, _, i in needs if i.source == "precomputed")
        if any(f not in sizes for f in done):
            return  # the tower saw other bits than were sent; what was moved says nothing
        # Of equal items, one here and one there, either may have been encoded.
        least, most = (sum(end(sizes[f]) * n for f, n in done.items()) for end in (min, max))
        moved = f"{where}: {record.moved_bytes} bytes moved for {least} to {most} encoded and {rows} precomputed"
        if not self.tower.moves_input:
            self.check("MOVE-002", record.moved_bytes >= least, moved)
            self.check("MOVE-003", record.moved_bytes <= most + rows, moved)
        elif not (self.trace.has_device and any(item.on_device for _, _, item in needs)):
            # What is joined with something on the device has to be there.
            self.check("MOVE-001", record.moved_bytes <= rows, moved)

    def _bytes_on_the_host(self, item: ItemRecipe) -> int:
        return 0 if self.trace.has_device and item.on_device else _payload_bytes(self.tower, item)


def _payload_bytes(tower: TowerRecipe, item: ItemRecipe) -> int:
    return sum(item.parts) * closed_form.patch_width(tower, item) * ITEMSIZE[item.dtype]


@lru_cache(maxsize=4096)
def fingerprint(tower: TowerRecipe, item: ItemRecipe) -> Fingerprint:
    """What ``RecordingTower`` sees of an item."""
    size = ITEMSIZE[item.dtype]
    data = b"".join(b.to_bytes(size, "little") for patch in closed_form.bits(tower, item) for b in patch)
    extras = [
        (e.name, str(list(e.value)) if isinstance(e.value, tuple) else repr(e.value))
        for e in item.extras
        if e.affects_rows
    ]
    return item.modality, item.grid, item.parts, f"torch.{item.dtype}", tuple(sorted(extras)), content(data)
