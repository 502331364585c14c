"""docs/ci.md: its commands run and say what it shows, its workflows use what there is, and its tables are complete."""

from __future__ import annotations

import dataclasses
import functools
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from plumbline import conformance
from plumbline.ci import VERDICTS
from plumbline.profiles import PROFILES
from plumbline.report import write
from plumbline.requirements import ROOT

DOCUMENT = ROOT / "docs" / "ci.md"
TEXT = DOCUMENT.read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
GITHUB, GITLAB = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
SESSIONS = [text.removeprefix("$ ").split("\n", 1) for language, text in BLOCKS if language == "console"]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def shows(expected: str, output: str) -> bool:
    """Whether the output is the expected one, ``...`` standing for anything, and line breaks for any space."""
    pieces = (r"\s+".join(map(re.escape, piece.split())) for piece in expected.split("..."))
    return re.search(r".*?".join(pieces), output, re.DOTALL) is not None


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick run with few workloads and nothing else."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(PROFILES, "quick", dataclasses.replace(PROFILES["quick"], cases=20, shards=1))
    only = functools.partial(conformance.run_suite, only=["tests/workloads/test_workloads.py"])
    monkeypatch.setattr(conformance, "run_suite", only)


@pytest.mark.parametrize(("number", "status"), [(0, 0), (1, 2), (2, 1)])
@pytest.mark.usefixtures("few")
def test_output_and_exit_status_are_what_the_document_says(
    number: int, status: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command, expected = SESSIONS[number]
    shutil.copy(ROOT / "docs" / "examples" / "own_hash.py", tmp_path)
    words = shlex.split(command.replace("$ENGINE", str(tmp_path)))
    assert words[:4] == ["nox", "-s", "conformance", "--"]
    given = [*words[4:], "--inproc"] + ([] if "--report" in words else ["--report", str(tmp_path / "report")])
    threads = torch.get_num_threads()
    try:
        assert conformance.main(given) == status
    finally:
        torch.set_num_threads(threads)
    output = capfd.readouterr().out
    assert shows(expected, output), output
    if "--replay" not in words:
        written = {0: {"conformance.json", "index.html", "summary.md"}, 2: {"summary.md"}}[status]
        assert {p.name for p in (tmp_path / "report").iterdir()} == written


def test_each_command_is_run_here() -> None:
    assert len(SESSIONS) == 3


def test_the_github_workflow_uses_what_the_action_has() -> None:
    steps: list[dict[str, Any]] = GITHUB["jobs"]["conformance"]["steps"]
    (use,) = [step for step in steps if step.get("id") == "plumbline"]
    assert set(use["with"]) <= set(ACTION["inputs"])
    assert use["with"]["profile"] in PROFILES
    for name in re.findall(r"steps\.plumbline\.outputs\.([\w-]+)", TEXT):
        assert name in ACTION["outputs"]
    for step in steps:
        assert "${{" not in step.get("run", ""), "nothing is written into a shell's text"
    for verdict in VERDICTS.values():
        assert f"`{verdict}`" in TEXT


def test_the_gitlab_job_s_command_is_understood() -> None:
    (line,) = [line for line in GITLAB["plumbline"]["script"] if line.startswith("nox")]
    options = conformance.arguments(shlex.split(line)[4:])
    assert options.quick
    assert str(options.report) == "$CI_PROJECT_DIR/" + GITLAB["plumbline"]["artifacts"]["paths"][0].rstrip("/")


def test_variables_files_and_links_exist() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    for name in re.findall(r"`(PLUMBLINE_\w+)`", TEXT):
        assert name in noxfile
    for name in ("summary.md", "index.html", "conformance.json"):
        assert f"| `{name}` |" in TEXT
        assert name in (write.__doc__ or "")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT):
        assert (DOCUMENT.parent / target).exists(), target
