"""Every known bug of released engines is brought back by a mutant, or mutants/bugs.toml says why none can."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter

import pytest

from plumbline.mutants import FOLDER
from plumbline.requirements import DOCUMENT, ROOT
from plumbline.resolve import load

BUGS = tomllib.loads((FOLDER / "bugs.toml").read_text())
THREADS: dict[str, str] = BUGS["threads"]
WITHOUT: dict[str, dict[str, str]] = BUGS["without_mutant"]
DROPPED = (5, 13, 18, 20, 23, 34, 40, 44, 62, 65, 73, 80, 84, 87, 90, 93, 95, 98, 102, 105, 107, 109, 113, 116, 118)
"""Numbers that no bug has."""


def named_by_mutants() -> Counter[str]:
    """How many mutants name each bug."""
    named = (load(str(path), "BUG").split(", ") for path in FOLDER.glob("*.py"))
    return Counter(bug for bugs in named for bug in bugs if bug)


def test_the_bugs_are_101() -> None:
    assert list(THREADS) == [f"B{number:03d}" for number in range(1, 127) if number not in DROPPED]
    assert len(THREADS) == 101


@pytest.mark.parametrize("bug", THREADS)
def test_a_bug_names_its_public_threads(bug: str) -> None:
    thread = r"#\d+|CVE-\d{4}-\d+|GHSA(-\w{4}){3}"
    for repository in THREADS[bug].split("; "):
        assert re.fullmatch(rf"[\w./ -]+ ({thread})(, ({thread}))*", repository)


def test_each_bug_has_a_mutant_or_a_reason() -> None:
    named = set(named_by_mutants())
    assert named <= set(THREADS)
    assert not named & set(WITHOUT)
    assert named | set(WITHOUT) == set(THREADS)


def test_the_specification_names_known_bugs() -> None:
    assert set(re.findall(r"\bB\d{3}\b", DOCUMENT.read_text())) <= set(THREADS)


@pytest.mark.parametrize("bug", WITHOUT)
def test_a_reason_points_to_a_test_that_exists(bug: str) -> None:
    assert WITHOUT[bug].keys() <= {"why", "found_by", "run_by"}
    assert WITHOUT[bug]["why"]
    for test in (value for key, value in WITHOUT[bug].items() if key != "why"):
        path, name = test.split("::")
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
