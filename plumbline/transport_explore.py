"""Runs generated transport cases through an implementation, and shrinks what fails."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hypothesis.strategies import SearchStrategy

from plumbline.bench import Verdicts
from plumbline.drawing import HarnessError, OutOfTime, Tally, broken, draw_cases
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Implementation
from plumbline.profiles import PROFILES
from plumbline.story import Story
from plumbline.trace import Hang
from plumbline.transport_faults import FaultCase, run_faults
from plumbline.transport_run import run
from plumbline.transport_scenario import TransportCase

FLOORS = {
    "message": 0.02,
    "fallback": 0.05,
    "pooled": 0.30,
    "in place": 0.005,
    "held": 0.03,
    "publish fails": 0.01,
    "cancel": 0.02,
    "late cancel": 0.01,
    "delivered twice": 0.02,
    "delivered late": 0.02,
    "late release": 0.01,
    "released twice": 0.01,
    "open refused": 0.01,
    "check refused": 0.005,
    "killed rank": 0.02,
    "killed rank told": 0.002,
    "living rank told lost": 0.02,
    "killed worker": 0.02,
    "damaged message refused": 0.003,
    "restarted rank": 0.01,
    "restarted worker": 0.01,
    "released in parts": 0.01,
}
"""Least share of the cases of a session that reach a situation, where payloads are put under leases at all."""


class Case(Protocol):
    """What can be drawn: a recipe that prints, and says how much there is to read."""

    def dumps(self) -> str: ...

    def size(self) -> int: ...


C = TypeVar("C", bound=Case)


@dataclass
class CaseFinding:
    """The smallest case seen that breaks a requirement."""

    requirement: str
    message: str
    case: Case


@dataclass
class CaseExploration(Tally):
    findings: dict[str, CaseFinding] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return "\n".join(f"{f.requirement}: {f.message}\n  case: {f.case.dumps()}" for f in self.findings.values())

    def data(self, of: str, story: Callable[[Any], Story]) -> dict[str, object]:
        """Plain data, so that it survives the way from a test's process. of: what reach is not to be mixed with others'."""
        return {
            "of": of,
            "cases": self.cases,
            "seconds": self.seconds,
            "first_failure": self.first_failure,
            "judged": dict(self.judged),
            "reach": dict(self.reach),
            "findings": [
                {
                    "requirement": f.requirement,
                    "message": f.message,
                    "without": [],
                    "scenario": json.loads(f.case.dumps()),
                    "story": story(f.case).data(),
                }
                for f in self.findings.values()
            ],
        }


def found_in(case: Case, verdicts: Verdicts) -> CaseExploration:
    """What one case showed, as an exploration of it alone."""
    found = CaseExploration(cases=1, judged=verdicts.judged)
    for v in verdicts.violations:
        found.findings.setdefault(v.requirement, CaseFinding(v.requirement, v.message, case))
    return found


def check_case(case: TransportCase, implementation: Implementation) -> tuple[Verdicts, set[str]]:
    """One case: run it, judge it. A hang breaks POOL-011."""
    try:
        with watchdog(HANG_SECONDS):
            return run(case, implementation)
    except Hang as hang:
        verdicts = Verdicts()
        verdicts.check("POOL-011", False, f"a call did not return: {hang}")
        verdicts.hung = True
        return verdicts, set()


def check_fault_case(case: FaultCase, implementation: Implementation) -> tuple[Verdicts, set[str]]:
    """One schedule of switches and stops: run it, judge it."""
    found = run_faults(case, implementation)
    return found.verdicts, found.seen


def explore_cases(
    strategy: SearchStrategy[C],
    judge: Callable[[C], tuple[Verdicts, set[str]]],
    examples: int,
    session_seed: int,
    seconds: float = float("inf"),
    shrink: bool = True,
    stop_at_first: bool = False,
) -> CaseExploration:
    """Draws ``examples`` cases. Never raises for what an implementation does. seconds: of the processor's time, ends it,
    shrinking included."""
    result = CaseExploration()
    began, used = time.perf_counter(), time.process_time()

    def one(case: C) -> None:
        if time.process_time() - used > seconds:  # so that a busy machine tries as much
            raise OutOfTime
        try:
            verdicts, reach = judge(case)
        except Exception as error:
            raise HarnessError(f"the harness failed on {case.dumps()}") from error
        if result.first_failure is None:
            result.cases += 1
            result.judged += verdicts.judged
            result.reach.update(reach)
        for v in verdicts.violations:
            known = result.findings.get(v.requirement)
            if known is None or case.size() < known.case.size():
                result.findings[v.requirement] = CaseFinding(v.requirement, v.message, case)
        if verdicts.violations:
            if result.first_failure is None:
                result.first_failure = time.perf_counter() - began
            if verdicts.hung:
                raise OutOfTime
            raise broken(verdicts.violations[0].requirement)

    draw_cases(strategy, one, examples, session_seed, shrink, stop_at_first)
    result.seconds = time.perf_counter() - began
    return result


MUTANT_SECONDS = 10
PART = 8
"""Of as many cases as there are workloads: each takes longer, and there is less to vary."""


def explore_session(
    strategy: SearchStrategy[C],
    judge: Callable[[C], tuple[Verdicts, set[str]]],
    options: argparse.Namespace,
    shard: int,
    part: int = PART,
) -> CaseExploration:
    """As many cases as the session's profile asks for, or one in ``part``. options: pytest's, with those of the plugin."""
    profile = PROFILES[options.profile]
    return explore_cases(
        strategy,
        judge,
        examples=(options.cases or profile.cases) // (1 if profile.stop_at_first else part),
        session_seed=options.plumbline_seed + shard,
        seconds=MUTANT_SECONDS if profile.stop_at_first else float("inf"),
        stop_at_first=profile.stop_at_first,
    )
