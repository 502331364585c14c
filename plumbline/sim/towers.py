"""Stories of a tower on a simulated device: by turns with everything as late as it can be, and with a drawn schedule.

What two streams do to each other shows in drawn schedules only. The device has the CPU's kernels, so what a picture's rows
are alone is found on the CPU, where nothing is captured.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Capability
from plumbline.judge_tower import TowerJudge, families_of, folders_of, row_floor_of
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.sim.device import Machine
from plumbline.sim.port import SimPort
from plumbline.sim.schedule import LATEST
from plumbline.tower_calls import stories

STORY_SECONDS = 4 * HANG_SECONDS
"""A story has many calls."""

SIZES: dict[str, dict[str, Any]] = {
    "qwen3_vl": {"depth": 1, "deepstack_visual_indexes": [0]},
    "qwen2_5_vl": {"depth": 2, "fullatt_block_indexes": [1]},
    "kimi_k25": {"num_hidden_layers": 1},
}
"""Of each family's checkpoints: each operation costs a simulated device as much time, however small it is."""


@dataclass
class Finding:
    """seed: of the stories. schedule: of the device."""

    requirement: str
    message: str
    seed: int
    schedule: int


@dataclass
class Report:
    """Of one child process, as plain data. uncertified: draws about a tower that claims nothing on this machine."""

    cases: int = 0
    uncertified: int = 0
    seconds: float = 0.0
    kernels: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)


def explore(subject: Subject, cases: int, session_seed: int) -> Report:
    """``cases`` draws of every kind of story, about one family after the other of those that the tower loads and that have a
    row floor here. A tower that raises in a story has broken what the story is about."""
    report = Report()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        families = families_of(subject.implementation, Path(root) / "each", HostPort())

        @cache
        def judge_of(family: str) -> TowerJudge | None:
            folders = folders_of(Path(root) / "judged" / family, family=family, **SIZES[family])
            floor = row_floor_of(subject.implementation, folders[0], HostPort())
            if floor is None:
                return None
            return TowerJudge(subject.implementation, folders, SimPort, floor, alone_on=HostPort)

        for seed in range(session_seed, session_seed + cases):
            judge = judge_of(families[seed % len(families)])
            if judge is None:
                report.uncertified += 1
                continue
            for story in stories(seed, Capability.VIDEO in subject.implementation.capabilities, inference=False):
                schedule = seed + 1 if seed % 2 or story.two_streams else LATEST
                with Machine(schedule) as machine, watchdog(STORY_SECONDS):
                    verdicts = judge.judge(story)
                report.kernels += machine.ledger.kernels
                report.judged += verdicts.judged
                for violation in verdicts.violations:
                    finding = Finding(violation.requirement, violation.message, seed, schedule)
                    report.findings.setdefault(violation.requirement, finding)
            report.cases += 1
    report.seconds = time.perf_counter() - began
    return report
