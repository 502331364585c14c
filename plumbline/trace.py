"""What happened in a run: written by the engine, read by the judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plumbline import closed_form
from plumbline.build import listed
from plumbline.feature import LocalFeature
from plumbline.interface import CapabilityMissing, Chunk, Failure, Merged, Prepared, Request, Retention, Rows, Ticket
from plumbline.rig import Call
from plumbline.scenario import ItemRecipe, RequestRecipe, Scenario, TowerRecipe
from plumbline.transport_path import WatchedFeature


class Hang(BaseException):
    """A call did not return in time. No Exception, so that nothing on the way takes it for an error of its own."""


@dataclass
class Crash:
    """An exception that is not part of the interface."""

    phase: str
    request_id: str
    error: BaseException


@dataclass
class Submission:
    """One request as it was given to prepare, and what came back."""

    index: int
    recipe: RequestRecipe
    request: Request
    fault: str
    """Name of the fault that the request has; empty for a valid one."""
    result: Prepared | Failure | Crash | None = None
    changed: str = ""
    identified: int = 0

    @property
    def broken(self) -> bool:
        return bool(self.fault)


@dataclass
class Entry:
    """One admitted (or waiting) request; several for one submission if it has copies."""

    id: str
    submission: Submission
    prepared: Prepared
    features: dict[int, tuple[LocalFeature | WatchedFeature, ...]] = field(default_factory=dict)
    position: int = 0
    state: str = "waiting"
    admitted: bool = False
    came_in: bool = False
    """Was admitted at some time."""
    ticket: Ticket | None = None
    lent: bool = False
    """Its payloads lie in memory of its own, which is written over once it has ended."""
    refused: CapabilityMissing | None = None
    served_epoch: int | None = None
    failed_in: int | None = None
    """The step in which its last chunk failed, which is to be sent again."""
    retries: int = 0
    leaves_at: int = 0
    """The step before which it is finished, once it has all its rows."""
    opens: dict[int, int] = field(default_factory=dict)
    """How often the payload of each lazy item had been opened when the last step was looked at."""
    underway: set[int] = field(default_factory=set)
    """Items of which this residency was served rows and has rows to come."""
    released: dict[int, int] = field(default_factory=dict)
    """Items with a lazy payload that was released while the request was admitted, and the epoch in which it was."""


@dataclass
class Scheduled:
    """A chunk as scheduled. fault: "" or why it must fail. underway, released: those of the entry before the step.

    retry_of: the step in which the same chunk failed.
    """

    chunk: Chunk
    entry: Entry | None
    fault: str = ""
    underway: frozenset[int] = frozenset()
    served_epoch: int | None = None
    released: Mapping[int, int] = field(default_factory=dict)
    retry_of: int | None = None


@dataclass
class StepRecord:
    number: int
    epoch: int
    scheduled: list[Scheduled]
    results: list[Rows | Failure] = field(default_factory=list)
    settled: list[Failure] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    moved_bytes: int = 0
    cache_bytes: int = 0
    merged: Merged | None = None
    merge_notes: list[str] = field(default_factory=list)
    opened: list[tuple[Entry, int]] = field(default_factory=list)
    """Lazy items, by their number in the request as it is listed, whose payloads were opened since the step before."""
    elsewhere: list[str] = field(default_factory=list)
    """Which rows were not on the port's device."""
    changed: list[str] = field(default_factory=list)
    """Requests whose result was another one later."""


@dataclass(frozen=True)
class Event:
    """What the engine did between the calls of two steps. steps: how many had been called by then.

    kind: admitted, refused, prefix hit, retracted, done, failed, aborted, or epoch. value: the positions that were hit, or
    the epoch that is now.
    """

    steps: int
    kind: str
    request: str = ""
    value: int = 0


@dataclass
class Api:
    """A call that must raise a typed error: what was expected and what came."""

    kind: str
    expected: str
    got: BaseException | None


@dataclass
class Trace:
    """What happened in a run."""

    scenario: Scenario
    retention: Retention = Retention.LEASE
    cache_budget: int = 0
    has_device: bool = False
    """Whether payloads that come on a device lie there."""
    submissions: list[Submission] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    api: list[Api] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    stuck: bool = False
    unreleased: list[str] = field(default_factory=list)
    reach: set[str] = field(default_factory=set)
    disturbed: list[str] = field(default_factory=list)
    """Settings of the process that were others afterwards."""

    def note(self, kind: str, request: str = "", value: int = 0) -> None:
        self.events.append(Event(len(self.steps), kind, request, value))


def listed_recipes(recipe: RequestRecipe) -> list[ItemRecipe]:
    return [recipe.items[i] for i in listed(recipe)]


def items_of(tower: TowerRecipe, s: Scheduled, listed_order: bool = True) -> set[int]:
    """Items with a position in the chunk: as the request lists them (as prepared), or as the recipe does."""
    assert s.entry
    recipe = s.entry.submission.recipe
    owner = closed_form.lay_out(tower, recipe).owner
    found = {at[0] for at in owner[max(s.chunk.lo, 0) : s.chunk.hi] if at}
    return {k for k, i in enumerate(listed(recipe)) if i in found} if listed_order else found
