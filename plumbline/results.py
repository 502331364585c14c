"""From test outcomes to a report: what was held, failed, deviated, not claimed, not run, for each implementation."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from plumbline import __version__
from plumbline.cases import kind_of, read_case
from plumbline.deviations import Deviation
from plumbline.profiles import PROFILES
from plumbline.reach import FLOORS
from plumbline.replay import save
from plumbline.requirements import ROOT, Requirement, document_sha256, requirements
from plumbline.resolve import Subject
from plumbline.scenario import compact
from plumbline.strategies import DRAWN
from plumbline.suite import Outcome

DIED = "ISO-001"
"""Broken where a test about no requirement failed: the process died, or a part took it down."""


def build_report(
    subjects: Sequence[Subject],
    outcomes: Sequence[Outcome],
    deviations: Sequence[Deviation],
    photos: dict[str, Any] | None,
    profile: str,
    seed: int,
    started: float,
    command: str,
    folder: Path,
) -> dict[str, Any]:
    """The report of a session, in the format of report.schema.json. Failing cases are saved under ``folder``/cases."""
    entries = [_implementation(s, outcomes, deviations, seed, folder, profile) for s in subjects]
    if profile != "quick":
        for entry in entries:
            if entry["verdict"] == "conforms" and unjudged(entry, outcomes):
                entry["verdict"] = "fails"
    photos_differ = photos is not None and (
        not photos["identical"] or any(t["wrong"] for t in photos.get("towers", []))
    )
    fails = photos_differ or any(e["verdict"] == "fails" for e in entries)
    now = datetime.now(UTC)
    return {
        "schema": 2,
        "suite": {"version": __version__, "commit": commit(), "conformance_sha256": document_sha256()},
        "run": {
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(now.timestamp() - started, 1),
            "seed": seed,
            "profile": profile,
            "command": command,
        },
        "environment": environment(),
        "requirements": [
            {
                "id": r.id,
                "section": r.section,
                "level": r.level,
                "text": r.text,
                "why": r.why,
                "needs": str(r.needs) if r.needs else None,
                "planned": r.planned or None,
                "reference": r.reference,
            }
            for r in requirements().values()
        ],
        "implementations": entries,
        "photos": photos,
        "verdict": "fails" if fails else "conforms",
    }


def unjudged(entry: dict[str, Any], outcomes: Sequence[Outcome]) -> list[str]:
    """Core and claimed MUSTs that nothing judged, although no test gave a reason to leave them out."""
    skipped = {name for o in outcomes if o.status == "skipped" for name in o.requirements}
    known = requirements()
    missing = [e["id"] for e in entry["requirements"] if e["status"] == "not-run" and e["level"] == "MUST"]
    return [name for name in missing if not known[name].planned and name not in skipped]


def environment() -> dict[str, Any]:
    """What a figure depends on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next(
            (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            cpu,
        )
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.system() + " " + platform.machine(),
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **({"driver": _driver()} if torch.cuda.is_available() else {}),
    }


def _driver() -> str:
    import pynvml  # a machine without a GPU does without

    pynvml.nvmlInit()
    return str(pynvml.nvmlSystemGetDriverVersion())


def commit(folder: Path = ROOT) -> str | None:
    """Of the checkout that ``folder`` is in, abbreviated, with "+" behind it if files have changed. None: there is none."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _implementation(
    subject: Subject,
    outcomes: Sequence[Outcome],
    deviations: Sequence[Deviation],
    seed: int,
    folder: Path,
    profile: str,
) -> dict[str, Any]:
    mine = [o for o in outcomes if _is_about(o, subject)]
    judged = _judged(mine)
    failures = _failures(subject, mine, _repeat(seed, profile), folder)
    entries = [_entry(r, subject, mine, judged, failures.get(r.id, []), deviations) for r in requirements().values()]
    bad = [e for e in entries if e["status"] == "failed"]  # whoever leaves a SHOULD out has a reason, and declares it
    held = [e for e in entries if e["status"] == "held"]
    return {
        "name": subject.implementation.name,
        "version": subject.implementation.version,
        "spec": subject.spec,
        "replaced": list(subject.replaced),
        "filled": list(subject.filled),
        "capabilities": sorted(str(c) for c in subject.implementation.capabilities),
        "retention": str(subject.implementation.retention),
        "requirements": entries,
        "sections": _sections(entries),
        "workloads": _workloads(mine, subject, profile),
        "verdict": "fails" if bad or not held else "conforms",
    }


def _is_about(o: Outcome, subject: Subject) -> bool:
    """A test whose process died said nothing: its id must do, or it is everybody's."""
    if o.subject is not None:
        return o.subject == subject.spec
    return "[" not in o.nodeid or f"[{subject.spec}" in o.nodeid


def _judged(outcomes: Sequence[Outcome]) -> dict[str, int]:
    judged: dict[str, int] = {}
    for o in outcomes:
        if o.status != "skipped" and not o.exploration:
            for name in o.requirements:
                judged[name] = judged.get(name, 0) + 1
        if o.exploration:
            counts = o.exploration["judged"]
            assert isinstance(counts, dict)
            for name, count in counts.items():
                judged[name] = judged.get(name, 0) + count
    return judged


def _repeat(seed: int, profile: str) -> str:
    """Options with which a test draws the same again."""
    return f"--plumbline-seed {seed} --profile {profile}"


def _failures(
    subject: Subject, outcomes: Sequence[Outcome], repeat: str, folder: Path
) -> dict[str, list[dict[str, Any]]]:
    failures: dict[str, list[dict[str, Any]]] = {}
    for o in outcomes:
        if o.status != "failed":
            continue
        findings: list[Any] = list(o.exploration["findings"]) if o.exploration else []  # type: ignore[call-overload]
        for finding in findings:
            failures.setdefault(finding["requirement"], []).append(_found(subject, o, finding, folder))
        if not findings:
            for name in o.broken or o.requirements or (DIED,):
                failures.setdefault(name, []).append(_direct(subject, o, repeat))
    return {name: sorted(found, key=_replayable_first)[:3] for name, found in failures.items()}


def _direct(subject: Subject, o: Outcome, repeat: str) -> dict[str, Any]:
    """What a test without a case says."""
    return {
        "kind": "test",
        "message": o.message or "the test failed without a word",
        "without": [],
        "scenario": None,
        "story": None,
        "where": list(o.where),
        "replay": f"nox -s tests -- {shlex.quote(o.nodeid)} {subject.arguments} {repeat}",
        "test": o.nodeid,
    }


def _replayable_first(failure: dict[str, Any]) -> tuple[bool, int]:
    return failure["scenario"] is None, len(json.dumps(failure["scenario"]))


def _found(subject: Subject, o: Outcome, finding: dict[str, Any], folder: Path) -> dict[str, Any]:
    scenario = read_case(finding["scenario"])
    name = "".join(c if c.isalnum() else "-" for c in subject.implementation.name)
    mark = hashlib.sha256(scenario.dumps().encode()).hexdigest()[:6]
    path = folder / "cases" / f"{name}-{finding['requirement']}-{mark}.json"
    save(path, scenario, finding["requirement"], finding["message"])
    return {
        "kind": kind_of(scenario),
        "message": finding["message"],
        "without": list(finding["without"]),
        "scenario": compact(scenario),
        "story": finding["story"],
        "where": [],
        "replay": f"nox -s conformance -- {subject.arguments} --replay {shlex.quote(str(path))}",
        "test": o.nodeid,
    }


def _entry(
    r: Requirement,
    subject: Subject,
    outcomes: Sequence[Outcome],
    judged: dict[str, int],
    failures: list[dict[str, Any]],
    deviations: Sequence[Deviation],
) -> dict[str, Any]:
    tests = [o.nodeid for o in outcomes if r.id in o.requirements]
    tests += [o.nodeid for o in outcomes if o.exploration and r.id in o.exploration["judged"]]  # type: ignore[operator]
    deviation = next((d for d in deviations if d.requirement == r.id), None)
    claimed = r.needs is None or r.needs in subject.implementation.capabilities
    if deviation:  # its witness was run, and shows
        status = "deviation"
    elif failures:
        status = "failed"
    elif not claimed:
        status = "not-claimed"
    else:
        status = "held" if judged.get(r.id) else "not-run"
    return {
        "id": r.id,
        "level": r.level,
        "section": r.section,
        "status": status,
        "core": r.needs is None,
        "judged": judged.get(r.id, 0),
        "tests": sorted(set(tests)),
        "failures": failures,
        "deviation": {"kind": deviation.kind, "reason": deviation.reason, "link": deviation.link}
        if deviation
        else None,
    }


def _sections(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for section in dict.fromkeys(e["section"] for e in entries):
        mine = [e for e in entries if e["section"] == section and e["level"] == "MUST"]
        count = {
            s: sum(e["status"] == s for e in mine) for s in ("held", "failed", "deviation", "not-claimed", "not-run")
        }
        claimed = count["held"] + count["failed"] + count["deviation"]
        found.append(
            {
                "section": section,
                "held": count["held"],
                "claimed": claimed,
                "all": len(mine),
                "failed": count["failed"],
                "not_run": count["not-run"],
            }
        )
    return found


def _workloads(outcomes: Sequence[Outcome], subject: Subject, profile: str) -> dict[str, Any]:
    """Reach and its floors only where everything is drawn, and often enough to say something."""
    floors = FLOORS if PROFILES[profile].floors and subject.implementation.capabilities >= DRAWN else {}
    runs: list[dict[str, Any]] = [o.exploration for o in outcomes if o.exploration and "of" not in o.exploration]
    cases = sum(r["cases"] for r in runs)
    seconds = sum(r["seconds"] for r in runs)
    reach: dict[str, int] = {}
    for r in runs:
        for name, count in r["reach"].items():
            reach[name] = reach.get(name, 0) + count
    firsts = [r["first_failure"] for r in runs if r["first_failure"] is not None]
    return {
        "cases": cases,
        "seconds": round(seconds, 2),
        "cases_per_second": round(cases / seconds, 1) if seconds else 0.0,
        "first_failure": round(min(firsts), 3) if firsts else None,
        "reach": {name: round(reach.get(name, 0) / cases, 4) if cases else 0.0 for name in FLOORS},
        "floors": floors,
    }
