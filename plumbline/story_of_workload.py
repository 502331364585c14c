"""Tells a workload's run: what each step was asked for, encoded, found in the cache and gave, and its first wrong row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from plumbline import closed_form
from plumbline.bench import Violation, causes
from plumbline.engine import run
from plumbline.interface import Failure, Implementation, Prepared, Rows
from plumbline.item_names import name_of, names_of
from plumbline.judge import judge
from plumbline.judge_work import fingerprint
from plumbline.own_code import told
from plumbline.rig import Fingerprint
from plumbline.scenario import ITEMSIZE, ItemRecipe, Scenario
from plumbline.story import Moment, Ran, Story
from plumbline.trace import Scheduled, StepRecord, Trace, listed_recipes
from plumbline.watched import CacheStep, CacheWatch, Key, Look

_FIELDS = ("modality", "grid", "division into tensors", "dtype", "extras", "content")
"""Of a fingerprint."""


_BEFORE_STEPS = ("PREP", "IDENT", "PREFIX")
"""Sections of the requirements of what happens before any step, in its order."""


def tell_workload(scenario: Scenario, implementation: Implementation) -> Story:
    """Runs the scenario once more, watched."""
    watch = CacheWatch()
    trace = run(scenario, watch.of(implementation), watch)
    violations = causes(judge(trace, implementation.capabilities).violations)
    return Teller(trace, watch.steps).story(violations)


class Teller:
    """cache: what it did in each step, where somebody watched."""

    def __init__(self, trace: Trace, cache: Sequence[CacheStep] = ()) -> None:
        self.trace, self.scenario, self.cache = trace, trace.scenario, cache
        self.tower = trace.scenario.tower
        self.row_bytes = self.tower.hidden * (1 + self.tower.side_levels) * ITEMSIZE[self.tower.row_dtype]
        self._names = {truth: name_of(*name) for truth, name in names_of(self.scenario).items()}
        self._looks: dict[Fingerprint, dict[str, None]] = {}
        self._digests: dict[bytes, dict[str, None]] = {}
        for s in trace.submissions:
            for item in s.recipe.items:
                self._looks.setdefault(fingerprint(self.tower, item), {})[self.name(item)] = None
            if isinstance(s.result, Prepared) and not s.broken:
                for identity, item in zip(s.result.identities, listed_recipes(s.recipe), strict=False):
                    self._digests.setdefault(identity.digest, {})[self.name(item)] = None

        self._several = Counter(name for names in self._digests.values() for name in names)
        numbers: Counter[str] = Counter()
        self._by_digest: dict[bytes, str] = {}
        for digest, names in self._digests.items():
            numbers.update(names.keys())
            said = [f"{n} (digest {numbers[n]})" if self._several[n] > 1 else n for n in names]
            self._by_digest[digest] = " = ".join(said)

    def story(self, violations: Sequence[Violation]) -> Story:
        """violations: what was wrong. What is of no step was wrong when requests were prepared, or in the end."""
        found = Story(ran=list(self._ran()))
        steps = [self._moment(number, record) for number, record in enumerate(self.trace.steps)]
        last = self._events(len(self.trace.steps), _BEFORE)
        last += [f"{c.phase} {c.request_id}: {told(c.error)}" for c in self.trace.crashes]
        before = [
            Moment("prepare", list(self._prepared())),
            Moment("identities", list(self._identified())),
            Moment("prefix keys"),
        ]
        found.moments = [*before, *steps, Moment("in the end", last)]
        for at, v in sorted(((self._place(v), v) for v in violations), key=lambda one: one[0]):
            found.moments[at].wrong.append(v.message)
            found.broken.setdefault(v.requirement, at)
            found.wrong = found.wrong or v.wrong
        found.leave_out_the_empty()
        return found

    def _place(self, v: Violation) -> int:
        """The number of the moment that a violation is of. Identities are of what was prepared, and prefix keys of them."""
        named = re.search(r"\bstep (\d+)\b", v.message)
        for number, record in enumerate(self.trace.steps, len(_BEFORE_STEPS)):
            if named and int(named[1]) == record.number:
                return number
        section = v.requirement.split("-")[0]
        return _BEFORE_STEPS.index(section) if section in _BEFORE_STEPS else len(self.trace.steps) + len(_BEFORE_STEPS)

    def name(self, item: ItemRecipe) -> str:
        return self._names[closed_form.truth(self.tower, item)]

    # -- prepare

    def _prepared(self) -> Iterator[str]:
        for s in self.trace.submissions:
            names = " ".join(self.name(item) for item in listed_recipes(s.recipe)) or "no items"
            if s.broken:
                error = s.result.error if isinstance(s.result, Failure) else None
                got = f"refused with {type(error).__name__}" if error else "not refused"
                yield f"{s.request.request_id} ({names}), malformed: {s.fault}: {got}"
            elif isinstance(s.result, Failure):
                yield f"{s.request.request_id} ({names}): refused: {s.result.error}"
            else:
                yield f"{s.request.request_id}: {len(s.request.token_ids)} tokens, {names}"

    def _identified(self) -> Iterator[str]:
        for names_of_it in self._digests.values():
            if len(names_of_it) > 1:
                yield f"{' and '.join(names_of_it)} have one digest"
        for name, count in self._several.items():
            if count > 1:
                yield f"{name} has {count} digests"

    # -- steps

    def _moment(self, number: int, record: StepRecord) -> Moment:
        moment = Moment(self.title(record), self._events(number, _BEFORE))
        moment.lines.append("asks for " + "; ".join(self._asked(s) for s in record.scheduled))
        cache = self.cache[number] if number < len(self.cache) else None
        moment.lines += self.worked(record, cache.looks if cache else ())
        moment.lines += self._gave(record)
        if cache is not None and cache.held is not None and (cache.looks or cache.held):
            held = ", ".join(self._key(key, record.epoch) for key in cache.held) or "nothing"
            moment.lines.append(f"the cache holds {held}")
        moment.lines += self._events(number + 1, _AFTER)
        return moment

    def title(self, record: StepRecord) -> str:
        epoch = f", weights of epoch {record.epoch}" if any(s.epoch for s in self.trace.steps) else ""
        return f"step {record.number}{epoch}"

    def _events(self, steps: int, kinds: Mapping[str, str]) -> list[str]:
        """One line for each event of these kinds, and for all requests of which the same is to be said."""
        said: dict[str, list[str]] = {}
        for e in self.trace.events:
            if e.steps == steps and e.kind in kinds:
                said.setdefault(kinds[e.kind].format(e=e), []).append(e.request)
        return [", ".join(requests) + text for text, requests in said.items()]

    def _asked(self, s: Scheduled) -> str:
        bad = f" (bad: {s.fault})" if s.fault else ""
        owner = closed_form.lay_out(self.tower, s.entry.submission.recipe).owner if s.entry else ()
        cells = [at for at in owner[max(s.chunk.lo, 0) : s.chunk.hi] if at is not None]
        rows: dict[int, list[int]] = {}
        for item, row in cells:
            rows.setdefault(item, []).append(row)
        items = s.entry.submission.recipe.items if s.entry else ()
        needs = ", ".join(f"{_ranges(found)} of {self.name(items[item])}" for item, found in rows.items())
        return f"{s.chunk.request_id} [{s.chunk.lo}, {s.chunk.hi}){bad}: {needs or 'no rows'}"

    def worked(self, record: StepRecord, looks: Sequence[Look]) -> Iterator[str]:
        """Tower calls, and between them what the cache was asked and told."""
        for number in range(len(record.calls) + 1):
            yield from self._looked([look for look in looks if look.calls == number])
            for call in record.calls[number : number + 1]:
                names = ", ".join(self._seen(f) for f in call.items) or "nothing"
                yield f"tower call: {names}" + (", which failed" if call.failed else "")

    def _looked(self, looks: Sequence[Look]) -> Iterator[str]:
        for kind, said in (("hit", "the cache has"), ("miss", "the cache has not")):
            names = dict.fromkeys(self._digest(look.digest) for look in looks if look.kind == kind)
            if names:
                yield f"{said} {', '.join(names)}"
        read = {(look.request, look.kind): [] for look in looks if look.request}  # type: ignore[var-annotated]
        for look in looks:
            if look.request:
                read[look.request, look.kind].append(self._digest(look.digest))
        yield from (
            f"{request}: payload of {', '.join(dict.fromkeys(names))} {kind}" for (request, kind), names in read.items()
        )
        for look in looks:
            name, rows = self._digest(look.digest), look.evicted // self.row_bytes
            if look.kind == "kept":
                yield f"into the cache goes {name}" + (f", and {rows} rows leave it" if rows else "")
            elif look.kind == "refused":
                yield f"the cache refuses {name}"
            elif look.kind == "cleared":
                yield "the cache is cleared"

    def _seen(self, found: Fingerprint) -> str:
        """An item as the tower saw it. One that nobody sent: how it differs from the one that it resembles most."""
        if found in self._looks:
            return " or ".join(self._looks[found])
        alike = max(self._looks, key=lambda sent: sum(a == b for a, b in zip(sent, found, strict=True)), default=None)
        if alike is None:
            return "something that nobody sent"
        other = [name for name, a, b in zip(_FIELDS, alike, found, strict=True) if a != b]
        return f"{' or '.join(self._looks[alike])} with another {' and '.join(other)}, which nobody sent"

    def _gave(self, record: StepRecord) -> Iterator[str]:
        lost = {f.request_id: f.error for f in record.settled}
        for s, result in zip(record.scheduled, record.results, strict=False):
            name = s.chunk.request_id
            if isinstance(result, Failure):
                yield f"{name} fails: {type(result.error).__name__}: {result.error}"
            elif name in lost:
                yield f"{name} is taken back: {type(lost[name]).__name__}"

    def _digest(self, digest: bytes) -> str:
        return self._by_digest.get(digest, "an identity that nobody was given")

    def _key(self, key: Key, epoch: int) -> str:
        return self._digest(key[0]) + (f" of epoch {key[1]}" if key[1] != epoch else "")

    # -- for the picture

    def _ran(self) -> Iterator[Ran]:
        places: dict[int, tuple[int, int]] = {}
        for e in self.trace.entries:
            copies = sum(one[0] == e.submission.index for one in places.values())
            places[id(e)] = e.submission.index, copies
        for number, record in enumerate(self.trace.steps):
            hits = {e.request for e in self.trace.events if e.steps == number and e.kind == "prefix hit"}
            for k, s in enumerate(record.scheduled):
                if s.entry is not None and not s.fault:
                    ok = k < len(record.results) and isinstance(record.results[k], Rows)
                    request, copy = places[id(s.entry)]
                    yield Ran(request, copy, record.number, s.chunk.lo, s.chunk.hi, ok, s.chunk.request_id in hits)


_BEFORE = {
    "epoch": "the weights are those of epoch {e.value} from here on",
    "aborted": " aborted",
    "retracted": " retracted",
    "refused": " not admitted",
    "admitted": " admitted",
    "prefix hit": ": prefix hit, up to position {e.value}",
}
_AFTER = {"done": " done", "failed": " failed"}


def _ranges(rows: Sequence[int]) -> str:
    """Rows in the order of their positions: "rows 0 to 3 and 7"."""
    runs: list[list[int]] = []
    for row in rows:
        if runs and row == runs[-1][-1] + 1:
            runs[-1].append(row)
        else:
            runs.append([row])
    said = [str(one[0]) if len(one) == 1 else f"{one[0]} to {one[-1]}" for one in runs]
    return ("row " if len(rows) == 1 else "rows ") + ", ".join(said)
