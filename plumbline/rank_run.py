"""Runs a case on several ranks, each with an engine of its own in a thread, and on one without others beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from plumbline.engine import run
from plumbline.exact import UnsteadyTower
from plumbline.interface import (
    Chunk,
    Embed,
    Encoded,
    Failure,
    Feature,
    Implementation,
    LeaseLost,
    Packed,
    Part,
    Payload,
    PayloadMissing,
    Prepared,
    RequestId,
    Step,
    TensorMeta,
    Tower,
)
from plumbline.rank_case import RankCase
from plumbline.rank_threads import Collective, Meeting, ThreadRanks
from plumbline.rig import Place, RecordingTower
from plumbline.trace import Trace

T = TypeVar("T")


@dataclass
class Seen:
    """What one rank did in a step and its settling. opened: (request, item) whose payloads it opened, or tried to."""

    opened: set[tuple[RequestId, int]] = field(default_factory=set)
    collectives: list[Collective] = field(default_factory=list)


class RankPlace(Place):
    """Watches a rank, and makes of it what the case says. steps: what it did in each step."""

    def __init__(self, case: RankCase, rank: int, entered: Sequence[Collective]) -> None:
        self.case = case
        self.fault = case.fault if case.at % case.ranks == rank else ""
        self.hiccups = case.hiccups
        self._entered = entered
        self.steps: list[Seen] = []
        self.keeps = case.at % case.ranks == rank
        self.kept: list[Step] = []
        """Results of steps that one rank looks at for longer than the others do."""
        self._opened: set[tuple[RequestId, int]] = set()

    def tower(self, tower: RecordingTower) -> Tower:
        if self.fault == "tower":
            tower.tower = BrokenTower(tower.tower)
        elif self.fault == "hiccup":
            tower.tower = UnsteadyTower(tower.tower, self.hiccups)
        return tower

    def embed(self, embed: Embed) -> Embed:
        return RankEmbed(embed, self)

    def admitted(self, prepared: Prepared) -> Prepared:
        """The same request, its lazy payloads watched, and some of them struck by the fault."""
        items = []
        for index, item in enumerate(prepared.items):
            name = (prepared.request_id, index)
            fault = self.fault if self.case.strikes(*name, len(prepared.items)) else ""
            payload: Payload = item.payload
            if isinstance(payload, tuple):
                payload = tuple(self._watched(part, name, fault) for part in payload)
            elif payload is not None:
                payload = self._watched(payload, name, fault)
            items.append(dataclasses.replace(item, payload=payload))
        return dataclasses.replace(prepared, items=tuple(items))

    def _watched(self, part: Part, name: tuple[RequestId, int], fault: str) -> Part:
        return part if isinstance(part, Tensor) else WatchedPart(part, name, fault, self._opened)

    def noted(self, seen: Seen, call: Callable[[], T]) -> T:
        """What the call returns; what it did is added to ``seen``."""
        before = len(self._entered)
        self._opened.clear()
        result = call()
        seen.opened |= self._opened
        seen.collectives += self._entered[before:]
        return result


class RankEmbed:
    """An implementation's embed on one rank. A step may be settled after the next one has begun."""

    def __init__(self, embed: Embed, place: RankPlace) -> None:
        self._embed, self._place = embed, place
        self.retract, self.finish, self.set_epoch = embed.retract, embed.finish, embed.set_epoch

    def admit(self, prepared: Prepared) -> None:
        self._embed.admit(self._place.admitted(prepared))

    def step(self, chunks: Sequence[Chunk]) -> Step:
        seen = Seen()
        self._place.steps.append(seen)
        step = self._place.noted(seen, lambda: self._embed.step(chunks))
        if self._place.keeps:
            self._place.kept.append(step)
        return RankStep(step, self._place, seen)


class RankStep:
    def __init__(self, step: Step, place: RankPlace, seen: Seen) -> None:
        self._step, self._place, self._seen = step, place, seen
        self.results = step.results

    def settle(self) -> list[Failure]:
        return self._place.noted(self._seen, self._step.settle)


class BrokenTower:
    """Raises, whatever it is given."""

    def __init__(self, tower: Tower) -> None:
        self.spec, self.epoch = tower.spec, tower.epoch

    def __call__(self, packed: Packed) -> Encoded:
        raise RuntimeError("the tower of this rank is broken")


class WatchedPart:
    """A lazy payload that notes who opens it. With the fault "payload" it is gone, with "lease" it is fenced off then."""

    def __init__(
        self, feature: Feature, name: tuple[RequestId, int], fault: str, opened: set[tuple[RequestId, int]]
    ) -> None:
        self.meta: TensorMeta = feature.meta
        self._feature, self._name, self._fault, self._opened = feature, name, fault, opened
        self._read = False

    def ready(self) -> bool:
        return self._fault != "payload" and self._feature.ready()

    def open(self, device: torch.device) -> Tensor:
        self._opened.add(self._name)
        if self._fault == "payload":
            raise PayloadMissing("the payload is gone on this rank")
        self._read = True
        return self._feature.open(device)

    def release(self) -> None:
        self._feature.release()

    def check(self) -> None:
        if self._read and self._fault == "lease":
            raise LeaseLost("the payload was fenced off on this rank")
        self._feature.check()


@dataclass
class RankRun:
    """alone: the scenario on one rank, without the case's fault. traces, seen: by rank. diverged: why ranks stopped."""

    case: RankCase
    alone: Trace
    traces: list[Trace]
    seen: list[list[Seen]]
    entered: list[list[Collective]]
    diverged: str


def run_ranks(case: RankCase, implementation: Implementation) -> RankRun:
    """Raises nothing that the implementation did but what is no Exception."""
    meeting: Meeting[Trace] = Meeting(case.ranks)
    places = [RankPlace(case, rank, entered) for rank, entered in enumerate(meeting.entered)]

    def one(ranks: ThreadRanks) -> Trace:
        return run(case.scenario, implementation, places[ranks.rank], ranks)

    traces = meeting.run(one)
    for trace in traces:
        if isinstance(trace, BaseException):
            raise trace
    alone = run(case.scenario, implementation)
    return RankRun(
        case=case,
        alone=alone,
        traces=[trace for trace in traces if isinstance(trace, Trace)],
        seen=[place.steps for place in places],
        entered=meeting.entered,
        diverged=meeting.diverged,
    )
