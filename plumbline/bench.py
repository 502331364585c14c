"""What every judge works with: the trace, the claims, and where verdicts go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from torch import Tensor

from plumbline import closed_form
from plumbline.build import bits_of, tensor_of_bits
from plumbline.interface import Capability, CapabilityMissing, PlumblineError, Retention
from plumbline.own_code import told
from plumbline.scenario import ItemRecipe, RequestRecipe, TowerRecipe
from plumbline.trace import Crash, Hang, Scheduled, Trace, items_of

WRONG_ROWS, REFUSED = "rows", "refused"


@dataclass(frozen=True)
class RowOf:
    """A row of an item. request, item: numbers in the scenario. level: 0 for the main row, else the side level."""

    request: int
    item: int
    row: int
    level: int = 0
    epoch: int = 0


@dataclass(frozen=True)
class WrongRow:
    """step, request, position: where it was given, by number, id and position. found: None where it is no item's row, and
    perhaps zeros."""

    step: int
    request: str
    position: int
    wanted: RowOf
    found: RowOf | None
    zeros: bool = False


@dataclass(frozen=True)
class Violation:
    """requirement: an id, or one of the two provisional verdicts. wrong: the row that shows it, if one does."""

    requirement: str
    message: str
    wrong: WrongRow | None = None


@dataclass
class Verdicts:
    judged: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    capability_missing: int = 0
    hung: bool = False
    """A call did not return. To run the case again would be to wait again."""

    def check(self, requirement: str, holds: bool, message: str = "", wrong: WrongRow | None = None) -> bool:
        self.judged[requirement] += 1
        if not holds:
            self.violations.append(Violation(requirement, message, wrong))
        return holds


def judge_leases(trace: Trace, check: Callable[[str, bool, str], bool], where: str = "") -> None:
    """LIFE-011, of an implementation that declares to keep leases until a request ends."""
    if trace.retention is Retention.LEASE and trace.scenario.lazy:
        for e in trace.entries:
            early = f"{where}request {e.id} lost the payloads of items {sorted(e.released)} before its end"
            check("LIFE-011", not e.released, f"{early}, which keeps leases")


def needs(tower: TowerRecipe, recipe: RequestRecipe) -> set[Capability]:
    """What a request asks of an implementation beyond the core."""
    found: set[Capability] = set()
    if tower.side_levels:
        found.add(Capability.SIDE_ROWS)
    walk = [at for _, at in sorted((span, at) for at, spans in enumerate(recipe.spans) for span in spans)]
    for at, (item, spans) in enumerate(zip(recipe.items, recipe.spans, strict=False)):
        if len(spans) > 1:
            first = walk.index(at)
            follow = list(spans) == sorted(spans) and set(walk[first : first + len(spans)]) == {at}
            if item.modality != "video" or not follow:
                found.add(Capability.SEVERAL_SPANS)
    for item in recipe.items:
        grid = closed_form.has_grid(tower, item.modality)
        if item.modality == "video":
            found.add(Capability.VIDEO)
            if item.grid and item.grid[0] > 1 and (recipe.weave or item.span_order != "ascending"):
                found.add(Capability.SEVERAL_SPANS)  # its frames do not follow one another
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


_ALIASES = {"IDENT-003", "IDENT-004", "IDENT-008", "IDENT-009", "IDENT-010", "ISO-005", "PREFIX-002"}
"""Broken where two different things have one name."""


def causes(violations: Sequence[Violation]) -> list[Violation]:
    """Without what only follows: where different things have one name, wrong rows are no news."""
    if any(v.requirement in _ALIASES for v in violations):
        return [v for v in violations if v.requirement not in (WRONG_ROWS, REFUSED)]
    return list(violations)


_BY_PHASE = {"finish": "LIFE-002", "retract": "LIFE-001", "set_epoch": "EPOCH-001"}
"""The requirement that a call breaks by raising for a request that is there."""


class Bench:
    """A judge's view of one run. A subclass judges one side of it, in ``go``."""

    def __init__(self, trace: Trace, claims: frozenset[Capability], verdicts: Verdicts) -> None:
        self.trace, self.claims, self.verdicts = trace, claims, verdicts
        self.tower = trace.scenario.tower
        self.crashed = bool(trace.crashes)
        self.fenced = {
            closed_form.truth(self.tower, item)
            for s in trace.submissions
            for item in s.recipe.items
            if item.fence and trace.scenario.lazy
        }
        self.faulty = any(i.fault for s in trace.submissions for i in s.recipe.items) or bool(trace.scenario.hiccups)

    def check(self, requirement: str, holds: bool, message: str = "", wrong: WrongRow | None = None) -> bool:
        return self.verdicts.check(requirement, holds, message, wrong)

    def claimed(self, *capabilities: Capability) -> bool:
        return all(c in self.claims for c in capabilities)

    def may_refuse(self, recipe: RequestRecipe, error: BaseException, also: Capability | None = None) -> bool:
        """Whether CapabilityMissing is an answer here: something that the request needs is not claimed."""
        asked = needs(self.tower, recipe) | ({also} if also else set())
        if isinstance(error, CapabilityMissing) and asked - self.claims:
            self.verdicts.capability_missing += 1
            return True
        return False

    def crash(self, crash: Crash, harmless: bool = False) -> None:
        """harmless: nobody but a request that was to be refused came to harm."""
        where = f"{crash.phase}{' of ' + crash.request_id if crash.request_id else ''}"
        if isinstance(crash.error, Hang):
            self.check("CHUNK-004", False, f"{where} did not return: {crash.error}")
            return
        if not harmless:
            self.check(
                _BY_PHASE.get(crash.phase, REFUSED),
                False,
                f"{where} raised {told(crash.error)}",
            )
        typed = isinstance(crash.error, PlumblineError)
        self.check("ISO-003", typed, f"{where} raised no PlumblineError, but {told(crash.error)}")

    def needed(self, s: Scheduled) -> dict[int, ItemRecipe]:
        """The items whose rows the chunk needs, by index."""
        if s.entry is None or s.fault:
            return {}
        items = s.entry.submission.recipe.items
        return {i: items[i] for i in sorted(items_of(self.tower, s, listed_order=False))}
