"""Captured traces: what goes in comes out of a replay, what a live engine broke is told from its trace alone, and a trace
depends on nothing of pixels and prompts but which are equal."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from docs.examples.capture_workload import SCENARIO
from docs.examples.capture_workload import main as capture_workload
from plumbline import closed_form
from plumbline.build import bits_of
from plumbline.capture import Capture, ItemMeta
from plumbline.capture_file import Recording, Request, read_trace
from plumbline.capture_judge import TraceJudge
from plumbline.capture_replay import main
from plumbline.capture_scenario import Replay, scenario_of
from plumbline.capture_wrap import captured
from plumbline.cases import read_case
from plumbline.drawing import OutOfTime, draw_cases
from plumbline.explore import check
from plumbline.interface import Implementation, Rows
from plumbline.requirements import ROOT
from plumbline.resolve import resolve
from plumbline.scenario import Content, ItemRecipe, Scenario
from plumbline.strategies import DRAWN, scenarios
from plumbline.trace import Trace

EXAMPLE = ROOT / "docs" / "examples" / "capture_optimized.jsonl"
OF_SGLANG = EXAMPLE.with_name("capture_sglang.jsonl")


def record(scenario: Scenario, implementation: Implementation) -> tuple[Trace, set[str], Recording]:
    """A run under the hook: what the harness saw, the requirements that broke, and what the hook wrote."""
    with tempfile.TemporaryDirectory() as folder:
        with Capture(folder) as capture:
            trace, verdicts = check(scenario, captured(implementation, capture))
        return trace, {v.requirement for v in verdicts.violations}, read_trace(Path(folder))


def items_changed(scenario: Scenario, change: Callable[[ItemRecipe], ItemRecipe]) -> Scenario:
    requests = [dataclasses.replace(r, items=tuple(change(i) for i in r.items)) for r in scenario.requests]
    return dataclasses.replace(scenario, requests=tuple(requests))


def untroubled(scenario: Scenario) -> Scenario:
    """Leases are not part of a trace, nor is what made a tower call fail once."""
    whole = items_changed(scenario, lambda item: dataclasses.replace(item, fence=False, gone=False))
    return dataclasses.replace(whole, hiccups=())


def admitted(recording: Recording) -> bool:
    return any(isinstance(event, Request) for _, event in recording.events)


# -- round trip


def calls(trace: Trace) -> list[object]:
    """Of the tower, without contents."""
    return [[(c.patches, [f[:4] for f in c.items], c.epoch, c.failed) for c in step.calls] for step in trace.steps]


def rows(trace: Trace) -> list[tuple[object, tuple[tuple[int, ...], ...]]]:
    """Where each row of each result lies, and its bits at all levels."""
    found = []
    for number, step in enumerate(trace.steps):
        for at, result in enumerate(step.results):
            if isinstance(result, Rows):
                levels = torch.cat([bits_of(level) for level in (result.rows, *result.side)], 1).tolist()
                for position, row in zip(result.positions.tolist(), levels, strict=True):
                    found.append(((number, at, result.lo, result.hi, position), tuple(row)))
    return found


def outcomes(trace: Trace) -> list[list[str]]:
    """Of every chunk, rows or an error."""
    return [[type(getattr(r, "error", r)).__name__ for r in step.results] for step in trace.steps]


def assert_comes_back(scenario: Scenario, implementation: Implementation) -> None:
    live, broken, recording = record(scenario, implementation)
    if not admitted(recording):
        return
    replay = scenario_of(recording)
    assert not replay.notes
    again, broken_again, recorded_again = record(replay.scenario, implementation)
    assert broken_again == broken
    assert calls(again) == calls(live)
    assert outcomes(again) == outcomes(live)
    names: dict[object, object] = {}
    before, after = rows(live), rows(again)
    assert [place for place, _ in after] == [place for place, _ in before]
    for (_, new), (_, old) in zip(after, before, strict=True):  # equal rows were equal: contents have other names alone
        assert names.setdefault(new, old) == old
    assert scenario_of(recorded_again).scenario == replay.scenario


@pytest.mark.parametrize("name", ["optimized", "reference"])
def test_any_workload_captured_and_replayed_gives_the_same_calls_rows_and_verdicts(name: str) -> None:
    implementation = resolve(name).implementation

    def one(scenario: Scenario) -> None:
        assert_comes_back(untroubled(scenario), implementation)

    draw_cases(scenarios(DRAWN), one, 60, 11, shrink=False)


def test_rows_are_the_same_in_a_replay_only_if_they_were_the_same() -> None:
    """The comparison above sees a replay that gives two items one content."""
    live, _, recording = record(SCENARIO, resolve("optimized").implementation)
    replayed = scenario_of(recording).scenario
    alike = items_changed(replayed, lambda item: dataclasses.replace(item, content=Content(0)))
    again, _, _ = record(alike, resolve("optimized").implementation)
    names: dict[object, object] = {}
    pairs = zip(rows(again), rows(live), strict=True)
    assert any(names.setdefault(new, old) != old for (_, new), (_, old) in pairs)


def test_the_example_is_what_its_program_writes_now(tmp_path: Path) -> None:
    capture_workload("optimized", str(tmp_path / "now.jsonl"))
    now, kept = (scenario_of(read_trace(path)) for path in (tmp_path / "now.jsonl", EXAMPLE))
    assert now == kept


# -- what a trace depends on


def shape_of(recording: Recording) -> object:
    """A trace with its names numbered, and without times."""
    numbers: dict[str, int] = {}

    def numbered(value: object) -> object:
        if isinstance(value, dict):
            return {k: numbered(v) for k, v in value.items() if k != "at"}
        if isinstance(value, list | tuple):
            return [numbered(v) for v in value]
        if isinstance(value, str) and len(value) == 16:
            return numbers.setdefault(value, len(numbers))
        return value

    return numbered([msgspec.to_builtins(event) for _, event in recording.events])


def other_contents(scenario: Scenario) -> Scenario:
    """Other pixels and other text; equal where they were equal."""
    changed = items_changed(
        scenario, lambda i: dataclasses.replace(i, content=dataclasses.replace(i.content, seed=i.content.seed + 5000))
    )
    requests = tuple(dataclasses.replace(r, text=r.text + 700) for r in changed.requests)
    return dataclasses.replace(changed, requests=requests, prefix_cache=False)


def equalities(scenario: Scenario) -> list[int]:
    truths = [closed_form.truth(scenario.tower, item) for r in scenario.requests for item in r.items]
    return [truths.index(truth) for truth in truths]


def test_a_trace_depends_on_pixels_and_text_only_by_which_items_are_equal() -> None:
    implementation, compared = resolve("optimized").implementation, 0

    def one(scenario: Scenario) -> None:
        nonlocal compared
        this = dataclasses.replace(untroubled(scenario), prefix_cache=False)
        this = items_changed(this, lambda i: dataclasses.replace(i, content=Content(max(0, i.content.seed))))
        that = other_contents(this)
        if equalities(this) == equalities(that):
            compared += 1
            assert shape_of(record(this, implementation)[2]) == shape_of(record(that, implementation)[2])

    draw_cases(scenarios(DRAWN), one, 60, 3, shrink=False)
    assert compared > 40


# -- what shows in a live engine's trace alone


MUTANTS = {
    "b016_placeholder_ids_as_keys": "PREFIX-002",
    "b026_no_epoch_in_key": "CACHE-002",
    "b119_all_items_for_each_chunk": "WORK-001",
    "cache008_never_hits": "CACHE-008",
    "cache010_failed_item_cached": "CACHE-010",
    "chunk001_end_included": "CHUNK-006",
    "chunk003_encoded_for_each_chunk": "CHUNK-003",
    "enc007_no_dedupe": "ENC-007",
    "epoch002_never_raised": "EPOCH-002",
    "life004_second_admission_replaces": "LIFE-004",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_a_broken_engine_did_is_told_from_its_trace_alone(name: str) -> None:
    implementation, shown = resolve(f"mutants/{name}.py").implementation, False

    def one(scenario: Scenario) -> None:
        nonlocal shown
        _, _, recording = record(scenario, implementation)
        found = TraceJudge(recording).go()
        assert {finding.where for finding in found} <= {place for place, _ in recording.events}
        shown |= MUTANTS[name] in {finding.requirement for finding in found}
        if shown:
            raise OutOfTime

    draw_cases(scenarios(implementation.capabilities), one, 2000, 1, shrink=False)
    assert shown


def test_a_correct_engine_s_trace_shows_nothing() -> None:
    def one(scenario: Scenario) -> None:
        _, _, recording = record(scenario, resolve("optimized").implementation)
        assert not TraceJudge(recording).go()

    draw_cases(scenarios(DRAWN), one, 200, 5, shrink=False)


IMAGE = ItemMeta("image", b"a", [(1, 3)], grid=(1, 1, 2), pad=7)
KEYED = IMAGE._replace(tenant="t", key="k")
CALLS: dict[str, list[tuple[object, ...]]] = {
    "": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 2)]), ("encoded", [(b"a", 2)]), ("results", [("r", 1)]),
         ("cache", "put", b"a", 2), ("step", [("r", 2, 4)]), ("results", [("r", 1)]), ("finish", "r")],
    "IDENT-004": [("request", "r", 4, [IMAGE]), ("request", "s", 4, [IMAGE._replace(grid=(1, 2, 1))])],
    "IDENT-008": [("request", "r", 4, [KEYED._replace(trusted=True)]),
                  ("request", "s", 4, [KEYED._replace(trusted=True, digest=b"b", pad=8)])],
    "IDENT-010": [("request", "r", 4, [IMAGE]), ("request", "s", 4, [KEYED])],
    "ISO-005": [("request", "r", 4, [KEYED]), ("request", "s", 4, [KEYED._replace(tenant="u")])],
    "PREFIX-002": [("request", "r", 4, [IMAGE]), ("request", "s", 4, [IMAGE._replace(digest=b"b")])],
    "ITEM-002": [("request", "r", 4, [IMAGE._replace(spans=[(1, 4)])])],
    "ITEM-006": [("request", "r", 2, [IMAGE])],
    "LIFE-004": [("request", "r", 4, []), ("request", "r", 4, [])],
    "CHUNK-005": [("request", "r", 4, []), ("step", [("r", 0, 5)]), ("results", [("r", 0)])],
    "CHUNK-005 ended": [("request", "r", 4, []), ("finish", "r"), ("step", [("r", 0, 4)])],
    "CHUNK-006": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 4)]), ("results", [("r", 3)])],
    "EPOCH-002": [("request", "r", 4, []), ("step", [("r", 0, 2)]), ("epoch", 1), ("step", [("r", 2, 4)])],
    "WORK-001": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 1)]), ("encoded", [(b"a", 2)])],
    "ENC-008": [("request", "r", 4, [IMAGE._replace(source="precomputed", parts=(2,))]), ("step", [("r", 0, 4)]),
                ("encoded", [(b"a", 2)])],
    "ENC-007": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 4)]), ("encoded", [(b"a", 2), (b"a", 2)])],
    "CHUNK-003": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 2)]), ("encoded", [(b"a", 2)]),
                  ("step", [("r", 2, 4)]), ("encoded", [(b"a", 2)])],
    "CACHE-002": [("request", "r", 4, [IMAGE]), ("cache", "put", b"a", 2), ("epoch", 1), ("cache", "hit", b"a", 2)],
    "CACHE-004": [("cache", "put", b"a", 5), ("cache", "put", b"b", 5), ("request", "r", 4, [])],
    "CACHE-007": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 4)]), ("cache", "hit", b"a", 3)],
    "CACHE-008": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 4)]), ("encoded", [(b"a", 2)]),
                  ("cache", "put", b"a", 2), ("request", "s", 4, [IMAGE]), ("step", [("s", 0, 4)]),
                  ("encoded", [(b"a", 2)])],
    "CACHE-010": [("request", "r", 4, [IMAGE]), ("step", [("r", 0, 4)]), ("encoded", [(b"a", None)]),
                  ("cache", "put", b"a", 2)],
}  # fmt: skip
"""What an engine called, by the one requirement that this breaks. Afterwards everything is as it was."""

RIGHT: dict[str, list[tuple[object, ...]]] = {
    "a chunk that fails": [("request", "r", 4, []), ("step", [("r", 0, 5)]), ("results", [("r", "BadChunk")])],
    "a retracted request": [*CALLS["EPOCH-002"][:2], ("epoch", 1), ("retract", "r"), ("step", [("r", 0, 4)])],
    "an entry that was evicted": [*CALLS["CACHE-008"][:4], ("cache", "evict", b"a"), *CALLS["CACHE-008"][4:]],
    "a cleared cache": [*CALLS["CACHE-008"][:4], ("cache", "clear"), *CALLS["CACHE-008"][4:]],
    "a new epoch": [*CALLS["CACHE-008"][:4], ("epoch", 1), *CALLS["CACHE-008"][4:]],
    "a hit that is not used": [*CALLS["CACHE-007"], ("encoded", [(b"a", 2)])],
    "an id that is free again": [("request", "r", 4, []), ("finish", "r"), ("request", "r", 4, [])],
    "another item": [("request", "r", 4, [IMAGE]), ("request", "s", 4, [IMAGE._replace(digest=b"b", pad=8)])],
}


def findings(folder: Path, calls: list[tuple[object, ...]]) -> list[str]:
    with Capture(folder) as capture:
        capture.engine("toy", cache_rows=8, patches_per_call=64, hidden=8, patch_shape=(3,), evictions=True)
        for name, *given in calls:
            getattr(capture, str(name))(*given)
        assert capture.active
    return [finding.requirement for finding in TraceJudge(read_trace(folder)).go()]


@pytest.mark.parametrize("name", CALLS)
def test_each_rule_sees_what_it_is_about_and_nothing_else(name: str, tmp_path: Path) -> None:
    assert findings(tmp_path, CALLS[name]) == name.split()[:1]


@pytest.mark.parametrize("name", RIGHT)
def test_what_an_engine_may_do_is_no_finding(name: str, tmp_path: Path) -> None:
    assert findings(tmp_path, RIGHT[name]) == []


# -- replays


def replay_of(folder: Path, calls: list[tuple[object, ...]], patches: int = 100_000, **changes: object) -> Replay:
    engine = {"cache_rows": 8, "patches_per_call": 1 << 20, "hidden": 8, "patch_shape": (3,)}
    with Capture(folder) as capture:
        capture.engine("toy", **(engine | changes))  # type: ignore[arg-type]
        for name, *given in calls:
            getattr(capture, str(name))(*given)
    return scenario_of(read_trace(folder), patches)


def test_real_sizes_keep_their_counts_and_lose_their_widths(tmp_path: Path) -> None:
    big = ItemMeta("image", b"a", [(9, 2037)], grid=(1, 78, 104))
    calls = [("request", "r", 2048, [big]), ("step", [("r", 0, 1024)]), ("step", [("r", 1024, 2048)])]
    wide = {"merge": 2, "hidden": 4096, "patch_shape": (1176,), "side_levels": 3, "row_dtype": "float16"}
    replay = replay_of(tmp_path, calls, **wide)
    assert {note.split(", ")[1] for note in replay.notes} == {"1176 to 3", "4096 to 8", "float16 to bfloat16"}
    trace, broken, _ = record(replay.scenario, resolve("optimized").implementation)
    assert not broken
    assert [c.patches for step in trace.steps for c in step.calls] == [8112]
    assert [len(r.positions) for step in trace.steps for r in step.results if isinstance(r, Rows)] == [1015, 1013]


def test_steps_that_were_settled_late_are_settled_late_again(tmp_path: Path) -> None:
    step: tuple[object, ...] = ("step", [("r", 0, 4)])
    for number, (acts, late) in enumerate(
        [([step, step], False), ([step, ("settled",), step, ("settled",)], False), ([step, step, ("settled",)], True)]
    ):
        calls = [("request", "r", 4, [IMAGE]), *acts]
        assert replay_of(tmp_path / str(number), calls).scenario.settle_late == late


def test_an_item_that_failed_once_does_not_fail_again_and_is_named(tmp_path: Path) -> None:
    calls: list[tuple[object, ...]] = [
        ("request", "r", 8, [IMAGE, IMAGE._replace(digest=b"b", spans=[(4, 6)], pad=8)]),
        *(("step", [("r", 0, 8)]), ("encoded", [(b"a", None), (b"b", None)])),
        *(("step", [("r", 0, 8)]), ("encoded", [(b"a", 2), (b"b", None)])),
    ]
    replay = replay_of(tmp_path, calls)
    assert [item.fault for item in replay.scenario.requests[0].items] == [False, True]
    assert "1 times an item failed" in replay.notes[0]


def test_a_long_trace_is_replayed_up_to_where_its_items_are_too_many(tmp_path: Path) -> None:
    calls: list[tuple[object, ...]] = []
    for k in range(5):
        calls += [("request", f"r{k}", 4, [IMAGE._replace(digest=f"{k // 2}")]), ("step", [(f"r{k}", 0, 4)])]
    replay = replay_of(tmp_path, calls, patches=5)
    assert len(replay.scenario.requests) == 4
    assert "--patches" in replay.notes[-1]


def test_what_cannot_be_replayed_is_left_out_and_named(tmp_path: Path) -> None:
    calls: list[tuple[object, ...]] = [
        ("step", [("before", 4, 8)]),
        ("request", "bad", 2, [IMAGE]),
        ("request", "good", 4, [IMAGE]),
        ("step", [("bad", 0, 2), ("good", 0, 4)]),
        ("finish", "bad"),
    ]
    replay = replay_of(tmp_path, calls)
    assert [act.chunks for act in replay.scenario.script if act.kind == "step"] == [((0, 0, 4),)]
    assert "span [1, 3)" in replay.notes[0]
    assert "1 chunks and calls" in replay.notes[1]


def test_the_verdict_on_a_replay_names_the_requirement_and_what_makes_it_go_away(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = tmp_path / "case.json"
    arguments = [str(EXAMPLE), "--impl", "mutants/b026_no_epoch_in_key.py", "--save", str(case)]
    assert main(arguments) == 1
    said = capfd.readouterr().out
    assert "shows nothing broken" in said
    assert "CACHE-001" in said
    assert "goes away with: no cache" in said
    saved = read_case(json.loads(case.read_text())["scenario"])
    assert saved == scenario_of(read_trace(EXAMPLE)).scenario


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([str(EXAMPLE)], 0, "holds: the same traffic breaks no requirement here"),
        ([str(OF_SGLANG)], 1, "a hit under epoch 1 on rows of epoch 0"),
        ([str(ROOT / "README.md")], 2, "first line is not that of a trace"),
        ([str(EXAMPLE), "--impl", "nowhere"], 2, "could not be imported|No module"),
    ],
)
def test_the_exit_status_says_what_was_found(
    arguments: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    try:
        assert main(arguments) == status
    finally:
        torch.set_num_threads(threads)
    assert re.search(said, capfd.readouterr().out)
