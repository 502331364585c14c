"""The mutation run: what it draws, and the mutants that it takes for equivalent."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from plumbline.requirements import ROOT

KNOWN = tomllib.loads(Path(__file__).with_name("equivalent_mutants.toml").read_text()).get("mutant", [])


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: f"{entry['file']} {entry['after']}")
def test_an_equivalent_mutant_is_of_a_line_that_is_there_and_says_why(entry: dict[str, str]) -> None:
    source = " ".join(line.strip() for line in (ROOT / entry["file"]).read_text().splitlines())
    assert entry["before"] in source
    assert entry["before"] != entry["after"]
    assert entry["why"]


def test_annotations_are_found_and_nothing_else() -> None:
    from plumbline.mutation_sites import annotated

    source = "a: int | None = 1 | 2\ndef f(x: int | str, *y: int, z=3 | 4) -> int | None: ..."
    found = [source.splitlines()[begin[0] - 1][begin[1] : end[1]] for begin, end in annotated(ast.parse(source))]
    assert sorted(found) == ["int", "int | None", "int | None", "int | str"]


def test_a_draw_follows_from_its_seed_and_takes_something_from_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from plumbline.mutation_sites import drawn, files, sites

    monkeypatch.chdir(ROOT)
    places = sites()
    mutants = drawn(places, 100, seed=1)
    assert mutants == drawn(places, 100, seed=1) != drawn(places, 100, seed=2)
    assert {str(mutant.module_path) for mutant in mutants} == {place.file for place in places} <= set(files())
    assert len({(m.module_path, m.start_pos, m.end_pos, m.operator_name) for m in mutants}) == len(mutants)
