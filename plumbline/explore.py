"""Runs generated scenarios through an implementation, shrinks what fails, and says which requirement it breaks."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from plumbline.bench import REFUSED, WRONG_ROWS, Verdicts, causes
from plumbline.diagnose import circumstances, diagnose
from plumbline.engine import run
from plumbline.interface import Capability, Implementation
from plumbline.judge import judge
from plumbline.reach import reach_of
from plumbline.scenario import Scenario
from plumbline.strategies import scenarios
from plumbline.trace import Hang, Trace

HANG_SECONDS = 20
CIRCUMSTANCE_CASES = 300
"""Cases whose circumstances are counted; enough to see that each was there, without paying for it in every case."""


@dataclass
class Finding:
    """The smallest scenario seen that breaks a requirement. without: simplifications that make it go away."""

    requirement: str
    message: str
    scenario: Scenario
    without: tuple[str, ...] = ()


@dataclass
class Exploration:
    """judged: how often each requirement was judged, by id."""

    cases: int = 0
    seconds: float = 0.0
    first_failure: float | None = None
    judged: Counter[str] = field(default_factory=Counter)
    reach: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    capability_missing: int = 0


class HarnessError(BaseException):
    """The harness itself failed. Never a verdict, and never taken for a pass."""


class _OutOfTime(KeyboardInterrupt):
    """Passes through Hypothesis, so that an exploration can end while it shrinks."""


@contextlib.contextmanager
def watchdog(limit: float) -> Iterator[None]:
    """Turns a hang of Python code in the main thread into an exception. Elsewhere it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise Hang(f"no answer within {limit:.0f} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check(scenario: Scenario, implementation: Implementation) -> tuple[Trace, Verdicts]:
    """One case: run it, judge it."""
    with watchdog(HANG_SECONDS):
        trace = run(scenario, implementation)
    verdicts = judge(trace, implementation.capabilities)
    return trace, verdicts


def explore(
    implementation: Implementation,
    examples: int,
    session_seed: int,
    seconds: float = float("inf"),
    shrink: bool = True,
    stop_at_first: bool = False,
    draw: frozenset[Capability] | None = None,
) -> Exploration:
    """Draws ``examples`` scenarios within the implementation's claims. Never raises for what the implementation does.

    draw: capabilities to draw from instead, to probe what is not claimed.

    seconds: ends the exploration, shrinking included. stop_at_first: no more drawing after the first failing case.
    """
    result = Exploration()
    began = time.perf_counter()
    failing: dict[str, type[Exception]] = {}

    def one(scenario: Scenario) -> None:
        now = time.perf_counter() - began
        if now > seconds:
            raise _OutOfTime
        try:
            trace, verdicts = check(scenario, implementation)
        except Exception as error:
            raise HarnessError(f"the harness failed on {scenario.dumps()}") from error
        if result.first_failure is None:
            result.cases += 1
            result.judged += verdicts.judged
            if result.cases <= CIRCUMSTANCE_CASES and verdicts.judged[WRONG_ROWS]:
                result.judged.update(circumstances(scenario))
            result.reach.update(reach_of(trace))
            result.capability_missing += verdicts.capability_missing
        for violation in causes(verdicts.violations):
            known = result.findings.get(violation.requirement)
            if known is None or scenario.size() < known.scenario.size():
                result.findings[violation.requirement] = Finding(violation.requirement, violation.message, scenario)
        if verdicts.violations:
            if result.first_failure is None:
                result.first_failure = time.perf_counter() - began
                if stop_at_first and not shrink:
                    raise _OutOfTime
            if any(isinstance(crash.error, Hang) for crash in trace.crashes):
                raise _OutOfTime  # to shrink it would be to wait for it again and again
            kind = verdicts.violations[0].requirement
            raise failing.setdefault(kind, type(f"Broken {kind}", (Exception,), {}))

    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    configured = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=not stop_at_first,
        print_blob=False,
    )
    test = configured(seed(session_seed)(given(scenarios(implementation.capabilities if draw is None else draw))(one)))
    with contextlib.suppress(_OutOfTime):
        try:
            test()
        except Exception as error:
            if not result.findings:
                raise HarnessError("Hypothesis gave up") from error
    for verdict in (WRONG_ROWS, REFUSED):
        finding = result.findings.pop(verdict, None)
        if finding is not None:
            _explain(result, finding, implementation)
    result.seconds = time.perf_counter() - began
    return result


def _explain(result: Exploration, finding: Finding, implementation: Implementation) -> None:
    for requirement, without in diagnose(finding.scenario, implementation, finding.requirement):
        known = result.findings.get(requirement)
        reasons = (*(known.without if known else ()), *((without,) if without else ()))
        result.findings[requirement] = Finding(requirement, finding.message, finding.scenario, reasons)
