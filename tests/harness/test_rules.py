"""The repository's own rules: who imports whom, and links between specification, reference, tests and mutants."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plumbline.pytest_plugin import OF_THE_PROJECT
from plumbline.requirements import DOCUMENT, ROOT, DocumentError, parse, requirements

FOREIGN = {"adapters", "mutants", "tests"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found.add(node.module or "")
    return found


def own(names: set[str]) -> set[str]:
    """Imports of this repository's packages."""
    return {n for n in names if n.split(".")[0] in {"plumbline", "reference", "optimized", *FOREIGN}}


@pytest.mark.parametrize("package", ["reference", "optimized"])
def test_implementations_share_nothing_but_the_interface(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        strangers = {n for n in own(imports(path)) if n != "plumbline.interface" and n.split(".")[0] != package}
        assert not strangers, f"{path} imports {strangers}"


def test_adapters_share_nothing_but_the_interface_and_the_files_of_their_engine() -> None:
    for path in (ROOT / "adapters").glob("*.py"):
        engine = path.stem.split("_")[0]
        strangers = {n for n in own(imports(path)) if not n.startswith(("plumbline.interface", f"adapters.{engine}_"))}
        assert not strangers, f"{path} imports {strangers}"


def test_the_interface_imports_torch_and_nothing_else() -> None:
    names = {n.split(".")[0] for n in imports(ROOT / "plumbline" / "interface.py")} - {"__future__"}
    assert names - set(sys.stdlib_module_names) == {"torch"}


def test_the_closed_form_knows_no_tower_and_no_reference() -> None:
    assert own(imports(ROOT / "plumbline" / "closed_form.py")) == {"plumbline.scenario"}
    assert "torch" not in imports(ROOT / "plumbline" / "closed_form.py") | imports(ROOT / "plumbline" / "scenario.py")


def test_the_harness_imports_no_implementation_but_the_reference() -> None:
    for path in (ROOT / "plumbline").glob("*.py"):
        assert not {n for n in own(imports(path)) if n.split(".")[0] in {"optimized", *FOREIGN}}, path


def test_mutants_import_their_parent_and_the_interface() -> None:
    for path in (ROOT / "mutants").rglob("*.py"):
        parents = ("reference", "optimized", "mutants.shared")
        strangers = {n for n in own(imports(path)) if not n.startswith(parents)}
        assert strangers <= {"plumbline.interface"}, f"{path} imports {strangers}"


CHILD = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] in {other!r} or (parts[0] == "plumbline" and name not in ("plumbline", "plumbline.interface")):
            raise ImportError("forbidden: " + name)
sys.meta_path.insert(0, Refuse())
import {package}
"""


@pytest.mark.parametrize("package", ["reference", "optimized"])
def test_implementations_import_where_everything_else_refuses_to(package: str) -> None:
    others = {"reference", "optimized", "adapters", "mutants"} - {package}
    code = CHILD.format(other=others, package=package)
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr


def test_the_document_keeps_its_format_and_its_numbers() -> None:
    found = requirements()
    assert len(found) >= 90
    assert sum(r.level == "MUST" for r in found.values()) >= 60
    for r in found.values():
        words = re.findall(r"\b(MUST|SHOULD|MAY)\b", r.text)
        assert not words, f"{r.id} has a second RFC 2119 word in its sentence"
    for broken in ("### X-1 (MUST)\n", "### XX-001 (MUST)\nText.\n", DOCUMENT.read_text() + DOCUMENT.read_text()):
        with pytest.raises(DocumentError):
            parse(broken)


def test_every_requirement_s_reference_exists_and_cites_it_back() -> None:
    for r in requirements().values():
        if r.reference == "none":
            continue
        path, _, name = r.reference.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        kinds = (ast.FunctionDef, ast.ClassDef)
        node = next((n for n in ast.walk(tree) if isinstance(n, kinds) and n.name == name), None)
        assert node is not None, f"{r.id}: {r.reference} does not exist"
        source = ast.get_source_segment((ROOT / path).read_text(), node) or ""
        assert cites(source, r.id), f"{r.reference} does not cite {r.id}"


def cites(text: str, requirement: str) -> bool:
    """Directly, or within a range such as LIFE-001 to LIFE-008."""
    section, number = requirement.split("-")
    ranges = re.findall(rf"{section}-(\d+) to {section}-(\d+)", text)
    return requirement in text or any(int(a) <= int(number) <= int(b) for a, b in ranges)


def test_everything_that_reference_functions_cite_exists() -> None:
    for path in (ROOT / "reference").rglob("*.py"):
        for name in re.findall(r"\b([A-Z]{2,6}-\d{3})\b", path.read_text()):
            assert name in requirements(), f"{path} cites {name}"


def test_every_must_that_is_not_planned_is_cited_by_a_test_or_judged_in_workloads() -> None:
    files = [
        p for p in (ROOT / "plumbline").glob("*.py") if p.stem.startswith(("judge", "bench", "diagnose", "engine"))
    ]
    judged = {name for p in files for name in re.findall(r'"([A-Z]+-\d{3})[" ]', p.read_text())}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for marks in re.findall(r"mark\.requirement\(([^)]*)\)", path.read_text()):
            judged |= set(re.findall(r"[A-Z]+-\d{3}", marks))
    for path in (ROOT / "plumbline").glob("malformed*.py"):
        judged |= set(re.findall(r'@fault\("([A-Z]+-\d{3})"', path.read_text()))
    missing = [r.id for r in requirements().values() if r.level == "MUST" and not r.planned and r.id not in judged]
    assert not missing


def test_the_reference_stays_readable() -> None:
    lines = sum(len(p.read_text().splitlines()) for p in (ROOT / "reference").glob("*.py"))
    assert lines < 1300
    for tower in (ROOT / "reference" / "towers").glob("*.py"):
        assert len(tower.read_text().splitlines()) < 300


def test_judging_an_implementation_needs_no_tests_of_the_project() -> None:
    """Their folders are not even looked into, so that what they import need not be there."""
    found = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "__pycache__"}
    taking_subjects = {
        folder
        for folder in found
        for path in (ROOT / "tests" / folder).glob("test_*.py")
        if any(
            isinstance(node, ast.FunctionDef)
            and node.name.startswith("test_")
            and {"subject", "shard"} & {a.arg for a in node.args.args}
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert not taking_subjects & OF_THE_PROJECT
    assert found >= OF_THE_PROJECT
