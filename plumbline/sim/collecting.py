"""What processors leave on a simulated device, collected: grids come to the host, payloads stay where they are."""

from __future__ import annotations

import time

import torch

from plumbline.collected import as_processed, judge_collected
from plumbline.drawing import draw_cases
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.resolve import Subject
from plumbline.scenario import Scenario
from plumbline.sim.device import Machine
from plumbline.sim.schedule import LATEST
from plumbline.sim.workloads import Report, note
from plumbline.strategies import scenarios


def explore(subject: Subject, cases: int, session_seed: int) -> Report:
    """``cases`` drawn scenarios, each of whose requests is an output on the device, with every copy as late as it can be."""
    report = Report()
    began = time.perf_counter()

    def one(scenario: Scenario) -> None:
        report.cases += 1
        for request in scenario.requests:
            with Machine(LATEST), watchdog(HANG_SECONDS):
                device, case = torch.device("sim", 0), as_processed(request)
                verdicts = judge_collected(scenario.tower, case, subject.implementation, device)
            report.runs += 1
            report.judged += verdicts.judged
            note({v.requirement: v.message for v in reversed(verdicts.violations)}, scenario, LATEST, report)

    draw_cases(scenarios(subject.implementation.capabilities), one, cases, session_seed, shrink=False)
    report.seconds = time.perf_counter() - began
    return report
