"""Workloads on ranks that have a simulated device each: their rows, and what they give to the collective on data.

The ranks are threads that take turns. What travels between devices is there when the collective ends.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from plumbline.bench import WRONG_ROWS, Verdicts
from plumbline.drawing import draw_cases
from plumbline.engine import run
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Implementation
from plumbline.judge import judge
from plumbline.rank_case import RankCase, rank_cases
from plumbline.rank_threads import Meeting, ThreadRanks
from plumbline.resolve import Subject
from plumbline.sim.device import Machine
from plumbline.sim.place import SimPlace
from plumbline.sim.schedule import LATEST
from plumbline.sim.workloads import Report, note, without_faults
from plumbline.trace import Trace


class DeviceRanks:
    """``plumbline.interface.Ranks`` of a rank on its device. astray: what it gave that lay elsewhere."""

    def __init__(self, ranks: ThreadRanks, machine: Machine) -> None:
        self.rank, self.size = ranks.rank, ranks.size
        self._ranks, self._machine = ranks, machine
        self._device = torch.device("sim", ranks.rank)
        self.astray: list[str] = []

    def agree(self, words: Tensor) -> Tensor:
        return self._ranks.agree(words)

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        if rows.device != self._device:
            self.astray.append(f"rank {self.rank} gave {len(rows)} rows on {rows.device}")
        gathered = self._ranks.gather(rows, counts)
        self._machine.finish()
        return [one.to(self._device) for one in gathered]


def explore(subject: Subject, cases: int, session_seed: int) -> Report:
    """``cases`` drawn cases, nothing wrong with any rank, and everything as late as it can be."""
    report = Report()
    began = time.perf_counter()
    draw_cases(
        rank_cases(subject.implementation.capabilities),
        lambda case: examine(case, subject.implementation, report),
        cases,
        session_seed,
        shrink=False,
    )
    report.seconds = time.perf_counter() - began
    return report


def examine(case: RankCase, implementation: Implementation, report: Report) -> None:
    scenario = dataclasses.replace(without_faults(case.scenario), lazy=False)
    meeting: Meeting[tuple[Trace, list[str]]] = Meeting(case.ranks)
    with Machine(LATEST, devices=case.ranks) as machine, watchdog(HANG_SECONDS):

        def one(ranks: ThreadRanks) -> tuple[Trace, list[str]]:
            there = DeviceRanks(ranks, machine)
            return run(scenario, implementation, SimPlace(machine, ranks.rank), there), there.astray

        results = meeting.run(one)
    verdicts = Verdicts()
    verdicts.check("RANK-002", not meeting.diverged, meeting.diverged)
    for rank, result in enumerate(results):
        if result is None or isinstance(result, BaseException):
            raise result or RuntimeError("a rank came to no end")
        trace, astray = result
        verdicts.check("RANK-008", not astray, "; ".join(astray[:3]))
        # The rest is judged elsewhere, and the ledger is that of all ranks together.
        wrong = [v.message for v in judge(trace, implementation.capabilities).violations if v.requirement == WRONG_ROWS]
        if not meeting.diverged:
            verdicts.check("RANK-004", not wrong, f"rank {rank}: {wrong[:1]}")
    report.cases += 1
    report.judged += verdicts.judged
    note({v.requirement: v.message for v in reversed(verdicts.violations)}, scenario, LATEST, report)
