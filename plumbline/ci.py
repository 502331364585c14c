"""The main step of action.yml: holds an implementation in another repository's folder, and tells the job what came of it.

    PLUMBLINE_IMPLEMENTATION=acme.py:implementation python -m plumbline.ci

Everything comes from the environment, so that no shell ever reads it as text; ``Job`` lists the variables. Needs nox, and
neither torch nor anything else. The exit status is that of plumbline.conformance, and 2 whenever there is no verdict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plumbline import report_folder

ROOT = Path(__file__).resolve().parent.parent
NOTHING_SAID = 2
VERDICTS = {0: "conforms", 1: "fails", NOTHING_SAID: "nothing-said"}
PROFILES = {"quick": ["--quick"], "default": [], "thorough": ["--thorough"]}


class JobError(Exception):
    """The environment does not describe a run."""


@dataclass(frozen=True)
class Job:
    """A run. Each field is the variable PLUMBLINE_<FIELD>; paths in them are relative to ``folder``.

    implementation: a spec, of a file or of a module below ``folder``. replace: one part=spec a line. Empty: not given.
    """

    implementation: str
    folder: str = ""
    profile: str = ""
    seed: str = ""
    replace: str = ""
    deviations: str = ""
    images: str = ""
    report: str = ""
    requirements: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Job:
        """Spaces and line breaks around a value do not count."""
        return cls(**{name: environment.get(f"PLUMBLINE_{name.upper()}", "").strip() for name in cls.__annotations__})

    def path(self, relative: str) -> Path:
        return Path(os.path.abspath(Path(self.folder or ".", relative)))

    @property
    def report_folder(self) -> Path:
        return self.path(self.report or "report")

    def arguments(self) -> list[str]:
        """Of plumbline.conformance. A value stands in one word with its option, so that it cannot be taken for another."""
        if not self.implementation:
            raise JobError("no implementation is named")
        if (self.profile or "default") not in PROFILES:
            raise JobError(f"the profile {self.profile!r} is none of {', '.join(PROFILES)}")
        words = [f"--impl={self._spec(self.implementation)}", *PROFILES[self.profile or "default"]]
        for line in filter(None, map(str.strip, self.replace.splitlines())):
            part, _, spec = line.partition("=")
            words.append(f"--replace={part}={self._spec(spec)}")
        words += [f"--seed={self.seed}"] if self.seed else []
        words += [f"--deviations={self.path(self.deviations)}"] if self.deviations else []
        words += [f"--images={self.path(self.images)}"] if self.images else []
        return [*words, f"--report={self.report_folder}"]

    def _spec(self, spec: str) -> str:
        """A file's path made absolute: the run is in Plumbline's folder."""
        place, colon, attribute = spec.rpartition(":") if ":" in spec else (spec, "", "")
        return f"{self.path(place)}{colon}{attribute}" if place.endswith(".py") else spec

    def environment(self, around: Mapping[str, str]) -> dict[str, str]:
        """With the folder's modules to be found by their names."""
        paths = [str(self.path(".")), *filter(None, [around.get("PYTHONPATH")])]
        needed = {"PLUMBLINE_REQUIREMENTS": str(self.path(self.requirements))} if self.requirements else {}
        return {**around, "PYTHONPATH": os.pathsep.join(paths), **needed}


def hold(job: Job, environment: Mapping[str, str]) -> int:
    """Runs the session, in whose folder there is a summary afterwards. Returns 0, 1, or 2 if there is no verdict."""
    report_folder.discard(job.report_folder)
    try:
        command = [sys.executable, "-m", "nox", "-s", "conformance", "--", *job.arguments()]
        status = subprocess.run(command, cwd=ROOT, env=job.environment(environment)).returncode
        why = f"the session ended with status {status}, and without a report that says so: its output says more"
    except JobError as error:
        status, why = NOTHING_SAID, str(error)
    if status == _status_of(job.report_folder / report_folder.REPORT):
        return status
    if status != NOTHING_SAID or not (job.report_folder / report_folder.SUMMARY).is_file():
        report_folder.put_nothing_said(job.report_folder, why)
        print(why, file=sys.stderr)
    return NOTHING_SAID


def _status_of(report: Path) -> int | None:
    """What a run that wrote this report ends with."""
    if not report.is_file():
        return None
    return 0 if json.loads(report.read_text(encoding="utf-8"))["verdict"] == "conforms" else 1


def tell(job: Job, status: int, environment: Mapping[str, str]) -> None:
    """Outputs and summary, where GitHub's runner says that it wants them."""
    if outputs := environment.get("GITHUB_OUTPUT"):
        values = {"verdict": VERDICTS[status], "exit-status": str(status), "report": str(job.report_folder)}
        with Path(outputs).open("a", encoding="utf-8") as file:
            for name, value in values.items():
                end = uuid.uuid4().hex  # a path may hold a line break, and must not name another output with it
                file.write(f"{name}<<{end}\n{value}\n{end}\n")
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write((job.report_folder / report_folder.SUMMARY).read_text(encoding="utf-8"))


def main() -> int:
    """Returns the exit status."""
    job = Job.of(os.environ)
    try:
        status = hold(job, os.environ)
        tell(job, status, os.environ)
    except OSError as error:  # such as a full disk; it must not look like a requirement that fails
        print(error, file=sys.stderr)
        return NOTHING_SAID
    return status


if __name__ == "__main__":
    raise SystemExit(main())
