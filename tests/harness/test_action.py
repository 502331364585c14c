"""The action for engines' CI: its file keeps the rules, and its shell steps do what they say, as a runner runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from plumbline.ci import Job, JobError, main
from plumbline.requirements import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
EXAMPLE = ROOT / "docs" / "examples" / "own_hash.py"

NOX = """
import dataclasses, functools, json, os, sys
assert sys.argv[1:4] == ["-s", "conformance", "--"]
if os.environ.get("RECORD"):
    with open(os.environ["RECORD"], "w") as file:
        json.dump([sys.argv[4:], dict(os.environ)], file)
    sys.exit(1)
from plumbline import conformance
from plumbline.profiles import PROFILES
PROFILES["quick"] = dataclasses.replace(PROFILES["quick"], shards=1, patience=1)
conformance.run_suite = functools.partial(conformance.run_suite, only=["tests/workloads/test_workloads.py"])
sys.exit(conformance.main([*sys.argv[4:], "--cases", "40", "--inproc"]))
"""
"""In the place of nox: the same job under this Python, with few workloads and nothing else; or only what it was asked."""


# ------------------------------------------------------------------------------------------------------------ its file


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for v in value.values() for text in texts(v)]
    return [text for v in value for text in texts(v)] if isinstance(value, list) else [str(value)]


def test_inputs_and_outputs_are_declared_described_and_used() -> None:
    assert set(ACTION) == {"name", "description", "inputs", "outputs", "runs"}
    assert ACTION["runs"]["using"] == "composite"
    assert all(set(given) <= {"description", "required", "default"} for given in ACTION["inputs"].values())
    for given in (*ACTION["inputs"].values(), *ACTION["outputs"].values()):
        assert given["description"]
    assert all(("default" in given) != given.get("required", False) for given in ACTION["inputs"].values())
    assert all(isinstance(given.get("default", ""), str) for given in ACTION["inputs"].values())
    used = [e for text in texts(STEPS) for e in EXPRESSION.findall(text)]
    names = {e.removeprefix("inputs.") for e in used if e.startswith("inputs.")}
    assert names == set(ACTION["inputs"])
    assert {given["value"] for given in ACTION["outputs"].values()} == {
        f"${{{{ steps.hold.outputs.{name} }}}}" for name in ACTION["outputs"]
    }


def test_no_expression_reaches_a_shell() -> None:
    for step in STEPS:
        assert ("run" in step) != ("uses" in step)
        assert set(step) <= {"id", "if", "shell", "run", "uses", "with", "env", "working-directory"}
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"]
        else:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_each_variable_of_the_job_is_set_and_the_report_is_kept_whatever_happens() -> None:
    (hold,) = [step for step in STEPS if step.get("id") == "hold"]
    variables = {name.removeprefix("PLUMBLINE_").lower() for name in hold["env"]}
    assert variables == set(Job.__annotations__) - {"folder"} | {"torch"}, "torch is the noxfile's"
    (upload,) = [step for step in STEPS if step.get("uses", "").startswith("actions/upload-artifact")]
    assert STEPS.index(upload) > STEPS.index(hold)
    assert "always()" in upload["if"]
    assert upload["with"]["path"] == "${{ steps.hold.outputs.report }}"


# ----------------------------------------------------------------------------------------------------------- its steps


@dataclass
class Ran:
    """What a runner knows after a job. folder: the engine's checkout."""

    folder: Path
    status: int
    outputs: dict[str, str]
    summary: str
    output: str

    @property
    def files(self) -> set[str]:
        return {p.name for p in Path(self.outputs["report"]).iterdir()}


def read_outputs(path: Path) -> dict[str, str]:
    found, lines = {}, iter(path.read_text().split("\n"))
    for line in lines:
        if line:
            name, end = line.split("<<")
            found[name] = "\n".join(iter(lambda: next(lines), end))
    return found


def run_action(tmp_path: Path, inputs: dict[str, str], **environment: str) -> Ran:
    """The shell steps in their order, as a runner would, in an engine's checkout whose name has a space."""
    folder = tmp_path / "the engine"
    folder.mkdir(exist_ok=True)
    shutil.copy(EXAMPLE, folder / "acme.py")
    (tmp_path / "stub" / "nox").mkdir(parents=True)
    (tmp_path / "stub" / "nox" / "__init__.py").touch()
    (tmp_path / "stub" / "nox" / "__main__.py").write_text(NOX)
    given = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()} | inputs
    assert given.keys() == ACTION["inputs"].keys()
    around = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PLUMBLINE_", "GITHUB_"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path / "stub"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_ACTION_PATH": str(ROOT),
        **environment,
    }
    status, output = 0, ""
    for step in STEPS:
        if status or "run" not in step:
            continue
        (tmp_path / "step.sh").write_text(step["run"])

        def put(text: str) -> str:
            return EXPRESSION.sub(lambda found: given[found[1].removeprefix("inputs.")], text)

        child = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(tmp_path / "step.sh")],
            cwd=folder / put(step.get("working-directory", ".")),
            env=around | {name: put(value) for name, value in step.get("env", {}).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        status, output = child.returncode, output + child.stdout
    return Ran(folder, status, read_outputs(tmp_path / "output"), (tmp_path / "summary").read_text(), output)


def test_a_conforming_implementation(tmp_path: Path) -> None:
    ran = run_action(tmp_path, {"implementation": "acme.py", "profile": "quick", "seed": "1"})
    assert ran.status == 0, ran.output
    report = str(ran.folder / "report")
    assert ran.outputs == {"verdict": "conforms", "exit-status": "0", "report": report}
    assert ran.files == {"conformance.json", "index.html", "summary.md"}
    assert ran.summary == (Path(report) / "summary.md").read_text()
    assert ran.summary.startswith("## Plumbline: CONFORMS\n")


def test_a_failing_implementation(tmp_path: Path) -> None:
    inputs = {"implementation": "acme.py:bytes_alone", "profile": "quick", "seed": "1", "report": "out/of the way"}
    ran = run_action(tmp_path, inputs)
    assert ran.status == 1, ran.output
    report = ran.folder / "out" / "of the way"
    assert ran.outputs == {"verdict": "fails", "exit-status": "1", "report": str(report)}
    assert ran.files >= {"conformance.json", "index.html", "summary.md"}
    assert ran.summary.startswith("## Plumbline: FAILS\n")
    assert "### IDENT-004 (MUST) <code>bytes alone 1</code>" in ran.summary
    data = json.loads((report / "conformance.json").read_text())
    assert data["run"]["seed"] == 1
    assert data["run"]["command"] in ran.summary


def test_a_file_that_does_not_import(tmp_path: Path) -> None:
    (tmp_path / "the engine" / "report").mkdir(parents=True)
    for name in ("conformance.json", "index.html", "summary.md"):
        (tmp_path / "the engine" / "report" / name).write_text('{"verdict": "conforms"}')
    (tmp_path / "the engine" / "broken.py").write_text("raise RuntimeError('[/] @octocat')\n")
    ran = run_action(tmp_path, {"implementation": "broken.py", "profile": "quick"})
    assert ran.status == 2, ran.output
    assert ran.outputs["verdict"] == "nothing-said"
    assert ran.outputs["exit-status"] == "2"
    assert ran.files == {"summary.md"}
    assert "RuntimeError: [/] @octocat" in ran.summary


HOSTILE = ["$(touch x)`touch x`'; touch x; '\"; touch x; \"${{ x }}::error::x", "a\ntouch x\n", "--help"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_inputs_are_words(tmp_path: Path, text: str) -> None:
    names = ("requirements", "deviations", "images", "seed")
    inputs = {
        "implementation": f"{text}.py:it",
        "replace": f"cache={text}",
        "report": f"r/{text}",
        **dict.fromkeys(names, text),
    }
    ran = run_action(tmp_path, inputs, RECORD=str(tmp_path / "record"))
    assert ran.status == 2, "the session said 1, and there is no report"
    words, environment = json.loads((tmp_path / "record").read_text())
    assert not any((place / "x").exists() for place in (ROOT, ran.folder, tmp_path))
    kept, inside = text.strip(), str(ran.folder)
    assert words[0] == f"--impl={inside}/{text.lstrip()}.py:it"
    assert f"--seed={kept}" in words
    assert f"--deviations={inside}/{kept}" in words
    assert f"--images={inside}/{kept}" in words
    assert words[-1] == f"--report={ran.outputs['report']}"
    assert ran.outputs == {"verdict": "nothing-said", "exit-status": "2", "report": f"{inside}/r/{kept}"}
    assert environment["PLUMBLINE_REQUIREMENTS"] == f"{inside}/{kept}"
    shutil.rmtree(ran.outputs["report"])


# ------------------------------------------------------------------------------------------------------------- the job


def test_options_of_a_job(tmp_path: Path) -> None:
    folder = str(tmp_path)
    job = Job(
        "acme.vision:best", folder, "thorough", "7", "cache=a.py:C\n\n identify=b.c:d ", "../known.toml", "/photos"
    )
    assert job.arguments() == [
        "--impl=acme.vision:best",
        "--thorough",
        f"--replace=cache={folder}/a.py:C",
        "--replace=identify=b.c:d",
        "--seed=7",
        f"--deviations={tmp_path.parent}/known.toml",
        "--images=/photos",
        f"--report={folder}/report",
    ]
    assert job.environment({"PYTHONPATH": "/before"})["PYTHONPATH"] == f"{folder}:/before"
    assert Job("acme.py", "/e").arguments() == ["--impl=/e/acme.py", "--report=/e/report"]
    for wrong in (Job(""), Job("acme.py", profile="fast")):
        with pytest.raises(JobError):
            wrong.arguments()


@pytest.mark.parametrize(
    ("status", "verdict", "expected"),
    [
        (0, "conforms", 0),
        (1, "fails", 1),
        (0, None, 2),
        (1, None, 2),
        (0, "fails", 2),
        (1, "conforms", 2),
        (137, None, 2),
    ],
)
def test_a_status_counts_only_with_a_report_that_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, verdict: str | None, expected: int
) -> None:
    report = tmp_path / "report"

    def session(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        assert not report.exists() or not list(report.iterdir()), "nothing of an earlier run"
        if verdict:
            report.mkdir(exist_ok=True)
            (report / "conformance.json").write_text(json.dumps({"verdict": verdict}))
            (report / "summary.md").write_text("as it was written")
        return subprocess.CompletedProcess([], status)

    report.mkdir()
    (report / "conformance.json").write_text('{"verdict": "conforms"}')
    monkeypatch.setattr(subprocess, "run", session)
    monkeypatch.setenv("PLUMBLINE_IMPLEMENTATION", "acme.py")
    monkeypatch.setenv("PLUMBLINE_FOLDER", str(tmp_path))
    assert main() == expected
    said = (report / "summary.md").read_text()
    assert (said == "as it was written") == (expected != 2)
    assert (report / "conformance.json").exists() == (expected != 2)


@pytest.mark.parametrize(
    ("name", "profile", "said"),
    [("acme.py", "fast", "none of quick, default, thorough"), ("", "quick", "no implementation is named")],
)
def test_a_job_that_is_not_described_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, profile: str, said: str
) -> None:
    monkeypatch.setenv("PLUMBLINE_IMPLEMENTATION", name)
    monkeypatch.setenv("PLUMBLINE_PROFILE", profile)
    monkeypatch.setenv("PLUMBLINE_FOLDER", str(tmp_path))
    assert main() == 2
    assert said in (tmp_path / "report" / "summary.md").read_text()


def test_the_session_passes_on_that_nothing_could_be_said(tmp_path: Path) -> None:
    """nox itself ends with 1 for whatever fails."""
    command = [sys.executable, "-m", "nox", "--no-venv", "-s", "conformance", "--", "--impl", "nowhere"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    child = subprocess.run(
        [*command, "--report", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PATH": path},
    )
    assert child.returncode == 2, child.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["summary.md"]
