"""The story of a run: true to the run, with the first wrong row and whose it is; of any case; drawn, and shown once."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st
from rich.console import Console

from plumbline import closed_form, report
from plumbline.bench import RowOf
from plumbline.build import bits_of, tensor_of_bits
from plumbline.cases import AnyCase, kind_of, read_case
from plumbline.conformance import main
from plumbline.consequences import before, follows, in_order, where_to_begin
from plumbline.engine import run
from plumbline.interface import Chunk, Failure, Implementation, Rows
from plumbline.page_failures import failures
from plumbline.picture import ACROSS, CELL, LEFT, WRONG, draw, ran_lines
from plumbline.rank_case import rank_cases
from plumbline.replay import replay, save
from plumbline.requirements import ROOT
from plumbline.resolve import load, resolve
from plumbline.results import build_report
from plumbline.scenario import Content, ItemRecipe, RequestRecipe, Scenario, compact
from plumbline.sim_case import SimCase
from plumbline.snapshots import same
from plumbline.story_of_workload import tell_workload
from plumbline.strategies import DRAWN, scenarios
from plumbline.suite import Outcome
from plumbline.tell import tell
from plumbline.transport_faults import FaultCase
from plumbline.transport_strategies import fault_cases, transport_cases
from plumbline.watched import CacheWatch

REFERENCE: Implementation = load("reference")
OPTIMIZED: Implementation = load("optimized")


def few(count: int) -> Callable[[Any], Any]:
    def decorated(test: Any) -> Any:
        return seed(1)(settings(max_examples=count, database=None, deadline=None)(test))

    return decorated


# ------------------------------------------------------------------------------------------------------ planted faults


class Planted:
    """The reference, with the bits of one item's row put in the place of the ``cell``-th row that is served, and of all
    later ones at its number in their chunk."""

    def __init__(self, scenario: Scenario, cell: int, bits: tuple[int, ...]) -> None:
        self.scenario, self.cell, self.bits = scenario, cell, bits
        self.at: tuple[str, int] | None = None
        """Request and position of the first one that this changed."""
        self.served = 0

    @property
    def implementation(self) -> Implementation:
        planted = self

        class Embed:
            def __init__(self, runtime: Any, encoder: Any, cache: Any) -> None:
                assert REFERENCE.embed
                self.inner = REFERENCE.embed(runtime, encoder, cache)
                self.admit, self.retract, self.finish = self.inner.admit, self.inner.retract, self.inner.finish
                self.set_epoch = self.inner.set_epoch

            def step(self, chunks: Sequence[Chunk]) -> Any:
                step = self.inner.step(chunks)
                step.results = [planted.spoiled(result) for result in step.results]
                return step

        return dataclasses.replace(REFERENCE, embed=Embed)

    def spoiled(self, result: Rows | Failure) -> Rows | Failure:
        if isinstance(result, Failure):
            return result
        number, self.served = self.cell - self.served, self.served + len(result.positions)
        if number >= len(result.positions):
            return result
        rows, number = result.rows.clone(), max(number, 0) % max(len(result.positions), 1)
        if not len(rows):
            return result
        tower = self.scenario.tower
        rows[number] = tensor_of_bits((self.bits,), tower.hidden, tower.row_dtype)[0]
        if self.at is None and not bits_of(rows[number]).equal(bits_of(result.rows[number])):
            self.at = result.request_id, int(result.positions[number])
        return dataclasses.replace(result, rows=rows)


@few(80)
@given(scenarios(DRAWN), st.data())
def test_the_first_wrong_row_is_told_and_whose_it_is(scenario: Scenario, data: st.DataObject) -> None:
    scenario = dataclasses.replace(scenario, transport=False)
    rows = [
        (r, i, row, bits)
        for r, request in enumerate(scenario.requests)
        for i, item in enumerate(request.items)
        for row, bits in enumerate(closed_form.rows(scenario.tower, item, 0)[0])
    ]
    assume(rows)
    *_, bits = data.draw(st.sampled_from(rows))
    planted = Planted(scenario, data.draw(st.integers(0, 12)), bits)
    story = tell_workload(scenario, planted.implementation)
    wrong = story.wrong
    fenced = any(item.fence for request in scenario.requests for item in request.items)
    assume(planted.at is not None and not fenced)
    assert wrong is not None
    assert (wrong.request, wrong.position) == planted.at
    assert wrong.found is not None
    assert bits_of_row(scenario, wrong.found) == bits
    owner = closed_form.lay_out(scenario.tower, scenario.requests[wrong.wanted.request]).owner
    assert owner[wrong.position] == (wrong.wanted.item, wrong.wanted.row)
    assert any(moment.wrong for moment in story.moments if moment.title.split(",")[0] == f"step {wrong.step}")
    check_marks(scenario, story.data())


def bits_of_row(scenario: Scenario, of: RowOf) -> tuple[int, ...]:
    item = scenario.requests[of.request].items[of.item]
    return closed_form.rows(scenario.tower, item, of.epoch)[of.level][of.row]


def check_marks(scenario: Scenario, story: dict[str, Any]) -> None:
    """One cell is framed: the wrong one. An arrow ends there, unless nobody's place, or the same, is where it belongs."""
    drawn = ElementTree.fromstring(draw(scenario, story))
    marks = [e for e in drawn.iter() if e.get("stroke") == WRONG]
    solid = [e for e in marks if e.tag.endswith("rect") and e.get("stroke-dasharray") is None]
    assert [float(e.get("x", "")) for e in solid] == [LEFT + story["wrong"]["position"] % ACROSS * CELL]
    arrows = [re.findall(r"[-\d.]+", e.get("d", "")) for e in marks if e.tag.endswith("path")]
    found, wanted = story["wrong"]["found"], story["wrong"]["wanted"]
    cell = ("request", "item", "row")
    elsewhere = found is not None and [found[k] for k in cell] != [wanted[k] for k in cell]
    assert bool(arrows) == elsewhere
    if arrows:
        assert float(arrows[0][-2]) == float(solid[0].get("x", "")) + CELL / 2


# ---------------------------------------------------------------------------------------------------- true to the run


@few(60)
@given(scenarios(DRAWN))
def test_who_watches_changes_nothing(scenario: Scenario) -> None:
    watch = CacheWatch()
    watched, plain = run(scenario, watch.of(OPTIMIZED), watch), run(scenario, OPTIMIZED)
    assert [r.calls for r in watched.steps] == [r.calls for r in plain.steps]
    for a, b in zip(watched.steps, plain.steps, strict=True):
        assert a.cache_bytes == b.cache_bytes
        for x, y in zip(a.results, b.results, strict=True):
            assert same(x, y) if isinstance(y, Rows) else isinstance(x, Failure)


@few(60)
@given(scenarios(DRAWN))
def test_the_cache_has_what_it_was_seen_to_hold(scenario: Scenario) -> None:
    """What a step is told to be there was held after the step before, or came in during this one."""
    watch = CacheWatch()
    run(scenario, watch.of(OPTIMIZED), watch)
    held: set[tuple[bytes, int]] = set()
    for step in watch.steps:
        for look in step.looks:
            held |= {(look.digest, look.epoch)} if look.kind == "kept" else set()
            assert look.kind != "hit" or (look.digest, look.epoch) in held
        assert step.held is not None or scenario.settle_late
        if step.held is not None:
            assert set(step.held) <= held
            held = set(step.held)


@few(60)
@given(scenarios(DRAWN))
def test_chunks_are_drawn_as_they_were_run(scenario: Scenario) -> None:
    trace = run(scenario, OPTIMIZED)
    ran = [(s.entry.submission.index, s.chunk.lo, s.chunk.hi, str(record.number))
           for record in trace.steps for s in record.scheduled if s.entry is not None and not s.fault]  # fmt: skip
    story = tell_workload(scenario, OPTIMIZED).data()
    shown = [
        (k, one.lo, one.hi, one.said.removesuffix("✗"))
        for k, lines in enumerate(ran_lines(scenario, story["ran"]))  # type: ignore[arg-type]
        for line in lines
        for one in line
    ]
    assert sorted(shown) == sorted(ran)
    ElementTree.fromstring(draw(scenario, story))


# -------------------------------------------------------------------------------------------------------- of any case


def failure_of(case: AnyCase, implementation: Implementation) -> dict[str, Any]:
    return {
        "kind": kind_of(case),
        "message": "it broke",
        "without": [],
        "scenario": compact(case),
        "story": tell(case, implementation).data(),
        "where": [],
        "replay": "nox",
        "test": "tests/x.py::test",
    }


@few(40)
@given(st.one_of(scenarios(DRAWN), transport_cases(), fault_cases(200), rank_cases(DRAWN)))
def test_any_case_is_told_and_shown(case: AnyCase) -> None:
    assert read_case(json.loads(case.dumps())) == case
    failure = failure_of(case, OPTIMIZED)
    assert failure["story"]["moments"]
    assert json.loads(json.dumps(failure)) is not None
    definitions = json.loads(report.SCHEMA.read_text())["$defs"]
    jsonschema.validate(json.loads(json.dumps(failure)), {"$ref": "#/$defs/failure", "$defs": definitions})
    text = failures(page_of([outcome("ITEM-001", failure)]))
    ElementTree.fromstring(text)
    assert "Not drawn" not in text
    assert ("<svg" in text) == (failure["kind"] in ("workload", "ranks"))
    for moment in failure["story"]["moments"]:
        assert len(moment["title"]) < 200


def outcome(name: str, *failed: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "level": "MUST", "status": "failed", "failures": list(failed)}


def page_of(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    requirements = [{"id": o["id"], "text": "a sentence", "why": "a bug"} for o in outcomes]
    return {"requirements": requirements, "implementations": [{"name": "acme", "requirements": outcomes}]}


IMAGES = tuple(RequestRecipe(f"r{k}", (ItemRecipe(grid=(1, 1, 3), parts=(3,), content=Content(k)),)) for k in range(4))
SAVED: dict[str, tuple[str, AnyCase, str]] = {
    "workload": (
        "enc006_failed_rows_are_zeros",
        Scenario(requests=(RequestRecipe("r0", (ItemRecipe(grid=(1, 1, 3), parts=(3,), fault=True),)),)),
        "ENC-006",
    ),
    "transport": (
        "pool_late_cancel_frees_a_stranger",
        read_case(
            {
                "requests": [{"items": [{}], "readers": 1}],
                "acts": [{"kind": kind, "what": what} for kind, what in (
                    ("publish", 0), ("deliver", 0), ("release", 0), ("collect", 0), ("publish", 0), ("cancel", 1),
                    ("deliver", 0), ("open", 0))],
            }
        ),
        "POOL-006",
    ),
    "faults": ("b049_dead_readers_wait", FaultCase(rows=(4,), stops=((2, 1),)), "POOL-007"),
    "ranks": (
        "rank004_own_rows_first",
        read_case(
            {
                "scenario": {
                    "requests": [
                        {"name": "r0", "items": [{}]},
                        {"name": "r1", "items": [{"dtype": "int32"}]},
                    ]
                },
                "ranks": 2,
            }
        ),
        "RANK-004",
    ),
    "simulated device": ("move_004_event_before_the_copy", SimCase(Scenario(requests=IMAGES, patches_per_call=4)), "MOVE-004"),
}  # fmt: skip
"""By kind: a mutant, and a case that shows what it breaks."""


@pytest.mark.parametrize("kind", [kind for kind in SAVED if kind != "simulated device"])
def test_a_case_of_any_kind_replays_and_tells_what_broke(kind: str, tmp_path: Path) -> None:
    name, case, requirement = SAVED[kind]
    path = tmp_path / "a case.json"
    save(path, case, requirement, "as saved")
    assert kind_of(case) == kind
    spec = f"mutants/{name}.py"
    implementation = resolve(spec).implementation
    story = tell(case, implementation)
    at = min(story.broken.values())
    assert story.moments[at].wrong
    assert not any(moment.wrong for moment in story.moments[:at])
    console = Console(width=200, record=True, file=io.StringIO())
    assert replay(path, implementation, console) == 1
    said = console.export_text()
    assert requirement in said
    assert story.moments[at].title in said
    assert main(["--impl", spec, "--replay", str(path)]) == 1
    assert main(["--impl", "optimized", "--replay", str(path)]) == 0


def test_a_case_of_a_simulated_device_replays(tmp_path: Path) -> None:
    name, case, requirement = SAVED["simulated device"]
    save(tmp_path / "case.json", case, requirement, "as saved")
    command = [sys.executable, "-m", "plumbline.conformance", "--replay", str(tmp_path / "case.json"), "--impl"]
    for spec, status in ((f"mutants/{name}.py", 1), ("optimized", 0)):
        child = subprocess.run([*command, spec], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert child.returncode == status, child.stdout + child.stderr
        assert (requirement in child.stdout) == bool(status)


def test_the_command_of_a_direct_test_names_that_test(tmp_path: Path) -> None:
    """With a space in the subject's path, and the profile, which says how much is drawn."""
    file = tmp_path / "my own.py"
    file.write_text("from optimized import implementation\n")
    subject = resolve(f"{file}:implementation")
    nodeid = collected(["tests/cache", "--impl", subject.spec])[0]
    failed = Outcome(nodeid, subject.spec, ("CACHE-003",), "failed", "wrong", 0.1, where=("tests/x.py:1",))
    data = build_report([subject], [failed], [], None, "quick", 7, 0.0, "nox", tmp_path)
    report.write(data, tmp_path)
    (entry,) = [o for o in data["implementations"][0]["requirements"] if o["id"] == "CACHE-003"]
    words = shlex.split(entry["failures"][0]["replay"])
    assert words[:4] == ["nox", "-s", "tests", "--"]
    assert collected(words[4:]) == [nodeid]
    assert {"--plumbline-seed", "7", "--profile", "quick"} <= set(words)


def collected(arguments: list[str]) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stdout
    return [line for line in child.stdout.splitlines() if "::" in line]


# --------------------------------------------------------------------------------------------------- what comes first


def told(broken: dict[str, int], scenario: str = "a", wrong: object = None) -> dict[str, Any]:
    """A failure with such a story."""
    story = {"moments": [], "broken": broken, "ran": [], "wrong": wrong}
    return {"kind": "workload", "scenario": {"name": scenario}, "story": story, "without": []}


@few(200)
@given(st.dictionaries(st.sampled_from(["A-001", "B-002", "C-003", "rows"]), st.integers(0, 3), min_size=1))
def test_what_broke_before_is_what_broke_at_an_earlier_moment(broken: dict[str, int]) -> None:
    for name in ("A-001", "B-002", "C-003", "ENC-001"):
        at = broken.get(name, broken.get("rows", 0))
        expected = {one for one, other in broken.items() if other < at and one != "rows"}
        assert set(before(name, told(broken))) == expected


def test_what_broke_first_comes_first_and_is_where_to_begin() -> None:
    first, late = outcome("IDENT-002", told({"IDENT-002": 0, "ENC-007": 2})), told({"IDENT-002": 0, "ENC-007": 2})
    direct = outcome("CACHE-005", {"scenario": None, "story": None, "kind": "test", "without": []})
    outcomes = [direct, outcome("ENC-007", late), first]
    assert [o["id"] for o in in_order(outcomes)] == ["IDENT-002", "ENC-007", "CACHE-005"]
    assert follows(outcomes[1]) == ["IDENT-002"]
    assert where_to_begin(in_order(outcomes))[0] == "Begin with IDENT-002."
    alone = outcome("ENC-007", late, told({"ENC-007": 1}, "b"))
    assert not follows(alone), "one of its cases shows it by itself"
    assert not where_to_begin([first])


def test_rows_of_another_epoch_speak_for_the_epoch() -> None:
    wrong = {"wanted": {"epoch": 1}, "found": {"epoch": 0}}
    outcomes = [outcome(name, told({"rows": 3}, wrong=wrong)) for name in ("ITEM-003", "CHUNK-001", "EPOCH-001")]
    assert in_order(outcomes)[0]["id"] == "EPOCH-001"


def test_a_case_is_shown_once() -> None:
    scenario = Scenario(requests=IMAGES[:1])
    shown = failure_of(scenario, OPTIMIZED)
    text = failures(page_of([outcome("ITEM-001", shown), outcome("CHUNK-001", shown)]))
    assert text.count("<svg") == 1
    assert "The case is that of" in text
