"""Mutant files keep their format, and some of them die quickly here; `nox -s mutants` runs the suite against all."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from plumbline.explore import explore
from plumbline.interface import Implementation
from plumbline.mutants import FOLDER, WITHOUT_MUTANT, Result, killers_of, uncovered
from plumbline.requirements import requirements
from plumbline.resolve import load, resolve
from plumbline.suite import Outcome

FILES = sorted(FOLDER.glob("*.py"))


def test_there_are_many() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_mutant_documents_its_bug(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    spec = str(path)
    bug = load(spec, "BUG")
    assert bug == "" or re.fullmatch(r"B\d{3}(, B\d{3})*", bug)
    assert load(spec, "PARENT") in ("reference", "optimized")
    accept = load(spec, "ACCEPT")
    assert accept
    assert set(accept) <= set(requirements())
    assert isinstance(load(spec), Implementation)


QUICK = ["b026_no_epoch_in_key", "b070_first_span_only", "b004_hash_of_raw_bytes", "enc001_split_in_other_order"]
QUICK += ["b017_keys_for_images_only", "chunk001_end_included", "b122_tower_error_escapes", "b108_mask_from_values"]


@pytest.mark.parametrize("name", QUICK)
def test_generated_workloads_alone_kill_it(name: str) -> None:
    spec = f"mutants/{name}.py"
    found = explore(resolve(spec).implementation, 1500, 20261120, seconds=40, stop_at_first=True)
    assert set(found.findings) & set(load(spec, "ACCEPT")), sorted(found.findings)


def test_only_a_judged_violation_kills_where_a_test_leaves_it_to_a_judge() -> None:
    """A process that died was not judged; any other test that fails is about all that it cites."""
    died = Outcome("test_it", "m", ("GRAPH-001", "GRAPH-002"), "failed", "assert 1 in (0,)", 1.0)
    assert killers_of(died) == {"GRAPH-001", "GRAPH-002"}
    assert not killers_of(dataclasses.replace(died, judges=True))
    assert killers_of(dataclasses.replace(died, judges=True, broken=("GRAPH-002",))) == {"GRAPH-002"}


def test_a_must_that_kills_nothing_is_reported() -> None:
    every = {r.id for r in requirements().values() if r.level == "MUST" and not r.planned}
    assert set(uncovered([])) == every - set(WITHOUT_MUTANT)
    assert not uncovered([Result("m", "", "optimized", [], killed_by=sorted(every))])
    assert uncovered([Result("m", "", "optimized", [], killed_by=sorted(every), error="it did not even start")])
