"""What processors leave on a simulated device, collected: grids come to the host, payloads stay where they are."""

from __future__ import annotations

import time

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from plumbline.collected import as_processed, judge_collected
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
            with Machine(LATEST):
                device, case = torch.device("sim", 0), as_processed(request)
                verdicts = judge_collected(scenario.tower, case, subject.implementation, device)
            report.runs += 1
            report.judged += verdicts.judged
            note({v.requirement: v.message for v in reversed(verdicts.violations)}, scenario, LATEST, report)

    configured = settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    configured(seed(session_seed)(given(scenarios(subject.implementation.capabilities))(one)))()
    report.seconds = time.perf_counter() - began
    return report
