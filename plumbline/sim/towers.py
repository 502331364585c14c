"""Stories of a tower on a simulated device: with everything as late as it can be, and with drawn schedules."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plumbline.interface import Capability
from plumbline.judge_tower import TowerJudge, folders_of
from plumbline.resolve import Subject
from plumbline.sim.device import Machine
from plumbline.sim.port import SimPort
from plumbline.sim.schedule import AT_ONCE, LATEST
from plumbline.tower_calls import stories


@dataclass
class Finding:
    """seed: of the stories. schedule: of the device."""

    requirement: str
    message: str
    seed: int
    schedule: int


@dataclass
class Report:
    """Of one child process, as plain data."""

    cases: int = 0
    seconds: float = 0.0
    kernels: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)


def explore(subject: Subject, cases: int, session_seed: int, **options: Any) -> Report:
    """``cases`` draws of every kind of story, each under two schedules. options: of the small checkpoints.

    A tower that raises in a story has broken what the story is about.
    """
    report = Report()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        judge = TowerJudge(subject.implementation, folders_of(Path(root), **options), SimPort)
        with Machine(AT_ONCE):
            judge.certify()
        for case in range(cases):
            seed = session_seed + case
            for story in stories(seed, Capability.VIDEO in subject.implementation.capabilities):
                with Machine(AT_ONCE):
                    judge.expect(story)
                for schedule in (LATEST, seed + 1):
                    with Machine(schedule) as machine:
                        verdicts = judge.judge(story)
                    report.kernels += machine.ledger.kernels
                    report.judged += verdicts.judged
                    for violation in verdicts.violations:
                        finding = Finding(**dataclasses.asdict(violation), seed=seed, schedule=schedule)
                        report.findings.setdefault(violation.requirement, finding)
            report.cases += 1
    report.seconds = time.perf_counter() - began
    return report
