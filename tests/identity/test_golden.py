"""The golden vectors: what they say holds for every implementation, and this file's reference wrote them.

``nox -s fixtures`` writes them again; ``nox -s fixtures -- --check`` only compares.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from plumbline import golden
from plumbline.bench import needs
from plumbline.parts import About
from plumbline.resolve import Subject, resolve

MANIFEST = json.loads((golden.FOLDER / "manifest.json").read_text())


def keys_of(vector: dict[str, Any]) -> tuple[object, object]:
    return vector["expected"]["digests"], vector["expected"]["prefix_keys"]


def stored(path: str) -> dict[str, object]:
    return json.loads((golden.FOLDER / path).read_text())  # type: ignore[no-any-return]


@pytest.mark.requirement("IDENT-013")
@pytest.mark.parametrize("name", golden.ACCEPT)
def test_digests_keys_spans_and_rows_are_those_of_the_vector(subject: Subject, name: str, about: About) -> None:
    tower, request = golden.ACCEPT[name]
    if needs(tower, request) - subject.implementation.capabilities:
        pytest.skip("the vector needs what is not claimed")
    got, wanted = golden._accept(subject.implementation, tower, request), stored(f"accept/{name}.json")
    with about("IDENT-013"):
        assert keys_of(got) == keys_of(wanted)
    with about("ITEM-001"):
        assert got == wanted


def test_the_reference_gives_the_stored_vectors_and_no_others() -> None:
    current = golden.vectors(resolve("reference").implementation)
    files = {p.relative_to(golden.FOLDER).as_posix() for p in golden.FOLDER.glob("*/*.json")}
    assert set(current) == files == set(MANIFEST["sha256"])
    for path, vector in current.items():
        assert golden.text(vector) == (golden.FOLDER / path).read_text(), (
            f"{path}: run nox -s fixtures, and say why it changed"
        )


def test_checksums_match_the_manifest() -> None:
    for path, checksum in MANIFEST["sha256"].items():
        assert hashlib.sha256((golden.FOLDER / path).read_bytes()).hexdigest() == checksum, path


def test_every_rejected_vector_names_the_error_of_its_requirement() -> None:
    from plumbline.malformed import FAULTS

    rejected = {p.stem: stored(f"reject/{p.name}") for p in (golden.FOLDER / "reject").glob("*.json")}
    assert set(FAULTS) - set(rejected) <= {"spans_of_two_items_overlap"}
    for name, vector in rejected.items():
        assert vector["error"] in {e.__name__ for e in FAULTS[name].errors}
