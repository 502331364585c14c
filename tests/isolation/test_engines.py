"""Engines that share a process: in turns with others, after others, and dropped."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import threading
import weakref
from pathlib import Path

import pytest
from torch import Tensor

from plumbline import engine
from plumbline.drawing import broken, draw_cases, draw_each
from plumbline.exact import UnsteadyTower
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Capability, Encoded, Packed, Tower
from plumbline.judge_tower import encode, tower_of
from plumbline.parts import image, loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort, Place, RecordingTower
from plumbline.scenario import Op, RequestRecipe, Scenario
from plumbline.small_tower import FAMILIES, checkpoint
from plumbline.snapshots import alike
from plumbline.strategies import scenarios
from plumbline.tower_calls import Call, Picture
from plumbline.trace import Trace

PAIRS = 60


class OtherModel(Place):
    """Its tower gives the negative of what the exact tower gives."""

    def tower(self, tower: RecordingTower) -> Tower:
        tower.tower = Negative(tower.tower, ())
        return tower


class Negative(UnsteadyTower):
    def __call__(self, packed: Packed) -> Encoded:
        found = super().__call__(packed)
        return Encoded(-found.rows, tuple(-side for side in found.side))


def in_turns(scenarios: list[Scenario], subject: Subject) -> list[Trace]:
    """Of two engines, the second with another model."""
    traces = [Trace(scenario, subject.implementation.retention) for scenario in scenarios]
    places = [Place(), OtherModel()]
    runs = [engine.turns(t, subject.implementation, place) for t, place in zip(traces, places, strict=False)]
    with watchdog(HANG_SECONDS):
        for _ in itertools.zip_longest(*runs):
            pass
    return traces


@pytest.mark.requirement("ISO-008")
def test_engines_in_turns_give_what_each_gives_alone(subject: Subject, request: pytest.FixtureRequest) -> None:
    """The second one has the same requests or others, and another model: rows of the one are never those of the other."""
    before: list[Scenario] = []

    def one(scenario: Scenario) -> None:
        others = [scenario, *before[-1:]]
        before.append(scenario)
        for second in others:
            alone = engine.run(scenario, subject.implementation)
            other = engine.run(second, subject.implementation, OtherModel())
            together = in_turns([scenario, second], subject)
            for which, wanted, found in (("first", alone, together[0]), ("second", other, together[1])):
                if not alike(wanted, found):
                    wrong.append(f"the {which} of\n{scenario.dumps()}\n{second.dumps()}")
                    raise broken("ISO-008")

    wrong: list[str] = []
    claims = subject.implementation.capabilities
    draw_cases(scenarios(claims), one, PAIRS, request.config.option.plumbline_seed, False, True)
    assert not wrong, wrong[0]


@pytest.mark.requirement("ISO-001")
def test_parts_that_were_made_in_one_thread_work_in_another(subject: Subject, request: pytest.FixtureRequest) -> None:
    """As an engine's do whose loop has a thread of its own: they have the results that they have in one thread."""

    def one(scenario: Scenario) -> None:
        alone, found = engine.run(scenario, subject.implementation), Trace(scenario, subject.implementation.retention)
        turns = engine.turns(found, subject.implementation)
        next(turns, None)  # makes the parts
        thread = threading.Thread(target=list, args=(turns,), daemon=True)
        thread.start()
        thread.join(HANG_SECONDS)
        assert not thread.is_alive(), scenario.dumps()
        assert alike(alone, found), scenario.dumps()

    draw_each(one, PAIRS, request.config.option.plumbline_seed, scenarios(subject.implementation.capabilities))


# ------------------------------------------------------------------------------------------------------------- dropped


class Watched(Place):
    """Notes the tower that the implementation was given, and nothing that would keep it alive."""

    def tower(self, tower: RecordingTower) -> Tower:
        self.seen = weakref.ref(tower)
        return tower


ENDS = {
    "done": Scenario(requests=(RequestRecipe(items=(image(1), image(2))), RequestRecipe("b", (image(1),)))),
    "cut": Scenario(requests=(RequestRecipe(items=(image(1), image(2))),), chunks=(3,), settle_late=True),
    "failed": Scenario(requests=(RequestRecipe(items=(image(1, fault=True), image(2))),)),
    "aborted": Scenario(requests=(RequestRecipe(items=(image(1), image(2))),), chunks=(2,), ops=(Op(1, "abort"),)),
    "refused": Scenario(requests=(RequestRecipe(items=(image(1),), malformed="grid_huge"),)),
}


@pytest.mark.requirement("LIFE-014")
@pytest.mark.parametrize("end", ENDS)
def test_a_dropped_engine_leaves_nothing(subject: Subject, end: str) -> None:
    places = []
    for lazy in (False, *([True] if Capability.LAZY in subject.implementation.capabilities else [])):
        places.append(Watched())
        engine.run(dataclasses.replace(ENDS[end], lazy=lazy), subject.implementation, places[-1])
    gc.collect()
    assert not any(place.seen() for place in places), "something keeps its tower"


@pytest.mark.requirement("LIFE-014")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_dropped_tower_is_gone(subject: Subject, family: str, tmp_path: Path) -> None:
    loads(subject, family, tmp_path / "each")
    tower = tower_of(subject.implementation, checkpoint(tmp_path / "one", family=family), HostPort())
    rows: Tensor = encode(tower, Call((Picture(1, 2, 3, 1), Picture(1, 4, 1, 2))), HostPort()).rows
    try:
        seen = weakref.ref(tower)
    except TypeError:
        pytest.skip("its tower takes no weak references")
    del tower
    gc.collect()
    assert rows.isfinite().all()
    assert seen() is None
