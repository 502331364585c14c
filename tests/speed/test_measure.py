"""Benchmarks are run in fresh processes and joined; what is wrong, or copies once more, is seen whatever the noise."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from plumbline.requirements import ROOT
from plumbline.resolve import resolve
from plumbline.results import commit
from plumbline.speed import __main__ as session
from plumbline.speed.compare import Verdict, compare
from plumbline.speed.counters import Copies
from plumbline.speed.history import BaseNotFound
from plumbline.speed.measure import MeasureError, measure, withhold
from plumbline.speed.parts import BENCHMARKS, PARTS
from plumbline.speed.record import parse
from plumbline.speed.verdicts import SECTIONS, VerdictError, digest, is_ours, judge, read

IDENTIFY, ENCODE = "identify/video", "encode/video"


def run(impl: str, *only: str, processes: int = 1) -> dict[str, Any]:
    given = [session.PARTS, f"--impl={impl}", "--seconds=0.02", *(f"--only={name}" for name in only)]
    return measure(given, processes, lambda *_: None)


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], list[tuple[str, int, int]]]:
    """optimized, in two processes, and what was said meanwhile."""
    said: list[tuple[str, int, int]] = []
    given = [session.PARTS, "--impl=optimized", "--seconds=0.02", f"--only={IDENTIFY}", f"--only={ENCODE}"]
    return measure(given, 2, lambda *what: said.append(what)), said


def test_a_run_is_joined_into_one_record(measured: tuple[dict[str, Any], list[tuple[str, int, int]]]) -> None:
    data, said = measured
    record = parse(json.loads(json.dumps(data)), "x")
    found = {(m.key.benchmark, m.key.implementation): m for m in record.measurements}
    assert set(found) == {(b, i) for b in (IDENTIFY, ENCODE) for i in ("reference", "optimized")}
    for (_, name), m in found.items():
        assert len(m.processes) == 2
        assert sum(m.processes) == len(m.samples)
        assert all(s > 0 for s in m.samples)
        assert (m.baseline, m.ratio is None) == (("", True) if name == "reference" else ("reference", False))
    assert {(count, total) for _, count, total in said} == {(k, 4) for k in range(1, 5)}


def test_processes_go_through_the_benchmarks_both_ways(
    measured: tuple[dict[str, Any], list[tuple[str, int, int]]],
) -> None:
    names = [name for name, _, _ in measured[1]]
    assert names == names[::-1]
    assert len(set(names)) == 2


def test_counters_are_exact(measured: tuple[dict[str, Any], list[tuple[str, int, int]]]) -> None:
    """By hand: two videos of 16 frames of 384 patches of 192 float32."""
    payload = 2 * 16 * 384 * 192 * 4
    by_name = {b["name"]: b["extra_info"]["counters"] for b in measured[0]["benchmarks"]}
    assert by_name[f"{ENCODE}[optimized]"]["tower_patches"] == 2 * 16 * 384
    assert by_name[f"{ENCODE}[optimized]"]["copied_bytes"] == 0
    assert by_name[f"{ENCODE}[reference]"]["copied_bytes"] == payload


@pytest.mark.parametrize(
    "copied",
    [
        lambda to, of: to.copy_(of),
        lambda to, of: to.index_copy_(0, torch.arange(4), of),
        lambda to, of: to.index_put_((torch.arange(4),), of),
        lambda to, of: to.scatter_(0, torch.zeros(4, 3, dtype=torch.int64), of),
        lambda to, of: to.masked_scatter_(torch.ones(4, 3, dtype=torch.bool), of),
        lambda to, of: torch._foreach_copy_([to], [of]),
        lambda to, of: of.masked_select(torch.ones(4, 3, dtype=torch.bool)),
        lambda to, of: of.repeat(1, 1),
        lambda to, of: of.t().contiguous(),
    ],
)
def test_a_copy_is_one_however_it_is_made(copied: Callable[[Tensor, Tensor], object]) -> None:
    to, of = torch.zeros(4, 3), torch.ones(4, 3)
    with Copies() as copies:
        copied(to, of)
    assert (copies.calls, copies.nbytes) == (1, of.nbytes)


@pytest.mark.parametrize(
    ("part", "benchmark_of"), [("identify", IDENTIFY), ("encoder", ENCODE), ("merge", "merge/chat")]
)
def test_a_copy_more_is_always_found(part: str, benchmark_of: str) -> None:
    base = parse(run("optimized", benchmark_of), "base")
    new = parse(run(f"benchmarks/planted.py:copying_{part}", benchmark_of), "new")
    grown = {c.counter for c in compare(base, new) if c.verdict is Verdict.COUNTER_GREW}
    assert {"copies", "copied_bytes"} <= grown
    same = parse(run("optimized", benchmark_of), "again")
    assert not [c for c in compare(base, same) if c.verdict is Verdict.COUNTER_GREW]


def test_no_time_for_wrong_rows() -> None:
    with pytest.raises(MeasureError, match="swapped does not give what reference gives"):
        run("tests/speed/wrong.py:swapped", ENCODE)


def test_who_raises_loses_that_benchmark_alone() -> None:
    data = run("tests/speed/wrong.py:raises", "cache/documents", IDENTIFY)
    record = parse(data, "x")
    assert {m.key.benchmark for m in record.measurements} == {IDENTIFY}
    assert [(w.benchmark, w.reason) for w in record.withheld] == [
        ("cache/documents", "RuntimeError: no cache today"),
    ]


def test_what_breaks_a_requirement_shows_no_time(measured: tuple[dict[str, Any], list[tuple[str, int, int]]]) -> None:
    data = copy.deepcopy(measured[0])
    withhold(data, {"optimized": {"identify": ["IDENT-004"]}})
    record = parse(data, "x")
    assert (IDENTIFY, "optimized") not in {(m.key.benchmark, m.key.implementation) for m in record.measurements}
    assert (ENCODE, "optimized") in {(m.key.benchmark, m.key.implementation) for m in record.measurements}
    assert [(w.benchmark, w.implementation, w.reason) for w in record.withheld] == [
        (IDENTIFY, "optimized", "breaks IDENT-004")
    ]


@pytest.mark.parametrize("judged", ["acme, fast", "acme"])
def test_a_way_of_an_implementation_is_judged_with_it_and_a_comma_hides_nothing(judged: str) -> None:
    entry = {"group": IDENTIFY, "extra_info": {"implementation": "acme, fast"}}
    data = {"benchmarks": [entry], "plumbline": {"withheld": []}}
    withhold(data, {judged: {"identify": ["IDENT-004"]}})
    assert data["benchmarks"] == []


def test_sections_of_parts_are_those_of_the_document() -> None:
    from plumbline.requirements import requirements

    known = {r.section for r in requirements().values()}
    assert {s for sections in SECTIONS.values() for s in sections} <= known
    assert set(PARTS) <= set(SECTIONS)
    assert {name.partition("/")[0] for name in BENCHMARKS} == set(PARTS)


def test_a_report_says_which_parts_are_broken() -> None:
    def requirement(name: str, section: str, status: str, level: str = "MUST") -> dict[str, str]:
        return {"id": name, "section": section, "status": status, "level": level}

    listed = [
        requirement("IDENT-004", "Identity and prefix keys", "failed"),
        requirement("CACHE-012", "Cache", "failed", "SHOULD"),
        requirement("CACHE-001", "Cache", "deviation"),
        requirement("MSG-001", "Messages", "held"),
        requirement("MERGE-001", "Chunks and merge", "not-claimed"),
    ]
    broken, verdicts = read({"implementations": [{"name": "acme", "requirements": listed}]})
    assert broken["acme"]["identify"] == ["IDENT-004"]
    assert "cache" not in broken["acme"]
    assert [verdicts["acme"][part] for part in ("cache", "transport", "merge")] == ["deviation", "held", ""]


def test_without_a_verdict_there_is_no_speed(tmp_path: Path) -> None:
    with pytest.raises(VerdictError):
        judge(["--impl=there_is_no_such_module"], 1, tmp_path)


@pytest.mark.parametrize(
    ("named", "ours"),
    [
        (["--impl=optimized"], True),
        (["--impl=optimized", "--replace=identify=reference:implementation", "--deviations=known.toml"], True),
        (["--impl=optimized", "--replace=identify=acme.py:identify"], False),
        (["--impl=optimized.py"], False),
        (["--impl=acme.fast:implementation"], False),
    ],
)
def test_a_verdict_is_kept_only_of_what_cannot_change_unseen(named: list[str], ours: bool) -> None:
    assert is_ours(named) == ours


def test_a_verdict_is_not_that_of_other_deviations(tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    found = set()
    for text in ("one", "another"):
        file.write_text(text)
        found.add(digest([f"--deviations={file}"]))
    assert len(found) == 2


@pytest.mark.parametrize(
    "given",
    [["--impl", "there_is_no_such_module"], ["--compare", "no such base"], ["--only", "embed", "--only", "embd/chat"]],
    ids=["implementation", "base", "benchmark"],
)
def test_what_cannot_be_said_ends_with_2(given: list[str], tmp_path: Path) -> None:
    assert session.main([*given, "--report", str(tmp_path)]) == 2


def test_a_record_is_of_the_commit_of_what_was_measured(tmp_path: Path) -> None:
    """Of an engine's checkout, not of the one that Plumbline is in."""
    file = tmp_path / "engine" / "acme.py"
    file.parent.mkdir()
    file.write_text("from reference import implementation")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    theirs = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    resolve("reference", [f"encoder={file}"])
    for specs in ([str(file)], ["reference", f"{file}:implementation"]):
        info = session.commit_info(session.whose(specs))
        assert theirs[:7] == info["id"][:7]
        assert not info["dirty"]
    file.write_text("")
    assert session.commit_info(session.whose([str(file)]))["dirty"]
    assert session.whose(["reference"]) == ROOT
    assert session.commit_info(ROOT)["id"] == (commit() or "").rstrip("+")


def test_a_base_of_something_else_is_no_base(measured: tuple[dict[str, Any], list[tuple[str, int, int]]]) -> None:
    """Rather than everything new, and nothing worse."""
    record = parse(measured[0], "new")
    with pytest.raises(BaseNotFound, match="nothing to compare"):
        session.compared(replace(record, measurements=()), record, pytest.fail, Console(quiet=True))


def test_who_takes_the_process_down_is_named() -> None:
    with pytest.raises(MeasureError, match="process 1 ended with 3 in cache/documents"):
        run("tests/speed/wrong.py:dies", "cache/documents")


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(MeasureError, match="no benchmark was run"):
        run("optimized", "no such part")
