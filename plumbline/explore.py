"""Runs generated scenarios through an implementation, shrinks what fails, and says which requirement it breaks."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from plumbline.bench import REFUSED, WRONG_ROWS, Verdicts, Violation, causes
from plumbline.diagnose import circumstances, diagnose, explained_by, reasons_of
from plumbline.drawing import HarnessError, OutOfTime, Tally, broken, draw_cases
from plumbline.engine import run
from plumbline.interface import Capability, Implementation
from plumbline.judge import judge
from plumbline.reach import reach_of
from plumbline.scenario import Scenario
from plumbline.strategies import scenarios
from plumbline.trace import Hang, Trace

HANG_SECONDS = 20
_UNWATCHED = "PLUMBLINE_UNWATCHED"
"""An environment variable, so that child processes know too."""

MOST_ROUNDS = 12
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
class Exploration(Tally):
    findings: dict[str, Finding] = field(default_factory=dict)
    capability_missing: int = 0


@contextlib.contextmanager
def unwatched(active: bool) -> Iterator[None]:
    """No watchdog inside, if ``active``: somebody may look around in a debugger for as long as he likes."""
    before = os.environ.get(_UNWATCHED)
    if active:
        os.environ[_UNWATCHED] = "1"
    try:
        yield
    finally:
        if active:
            os.environ.pop(_UNWATCHED)
            os.environ.update({} if before is None else {_UNWATCHED: before})


@contextlib.contextmanager
def watchdog(limit: float) -> Iterator[None]:
    """Turns a hang of Python code in the main thread into an exception. Elsewhere it does nothing, nor under a debugger."""
    if threading.current_thread() is not threading.main_thread() or os.environ.get(_UNWATCHED):
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
    patience: float = float("inf"),
    shrink: bool = True,
    stop_at_first: bool = False,
    draw: frozenset[Capability] | None = None,
    known: frozenset[str] = frozenset(),
) -> Exploration:
    """Draws ``examples`` scenarios within the implementation's claims. Never raises for what the implementation does.

    After a failure it draws again and passes over what is known by now, so that a requirement that is broken everywhere
    hides no other, until a round finds nothing new.

    seconds: of the processor's time, ends the exploration, shrinking included; patience: on the clock, from the first
    failure on. stop_at_first: no more drawing after the first failing case. draw: capabilities to draw from instead, to
    probe what is not claimed. known: requirements whose violations are passed over from the start.
    """
    exploring = _Exploring(implementation, draw or implementation.capabilities, set(known), seconds, patience)
    result = exploring.result
    for number in range(MOST_ROUNDS):
        before = set(result.findings)
        in_time = exploring.round(examples, session_seed + number * 7919, shrink, stop_at_first)
        if not in_time or stop_at_first or not shrink or set(result.findings) <= before:
            break
    result.seconds = time.perf_counter() - exploring.began
    return result


class _Exploring:
    """One exploration: what it passes over, and what it found so far."""

    def __init__(
        self,
        implementation: Implementation,
        draw: frozenset[Capability],
        known: set[str],
        seconds: float,
        patience: float,
    ) -> None:
        self.implementation, self.draw, self.known = implementation, draw, known
        self.seconds, self.patience = seconds, patience
        self.result = Exploration()
        self.began, self.used = time.perf_counter(), time.process_time()
        self.provisional: dict[str, tuple[str, Finding]] = {}

    def round(self, examples: int, session_seed: int, shrink: bool, stop_at_first: bool) -> bool:
        """Draws until something new fails, and shrinks that. False: out of time."""
        self.raised = False
        self.stop = stop_at_first and not shrink
        in_time = draw_cases(scenarios(self.draw), self.one, examples, session_seed, shrink, stop_at_first)
        for verdict, finding in self.provisional.values():
            self.explain(verdict, finding)
        self.provisional.clear()
        self.known |= set(self.result.findings)
        return in_time

    def one(self, scenario: Scenario) -> None:
        result, now = self.result, time.perf_counter() - self.began
        used = time.process_time() - self.used  # so that a busy machine tries as much
        if used > self.seconds or (result.first_failure is not None and now > result.first_failure + self.patience):
            raise OutOfTime
        try:
            trace, verdicts = check(scenario, self.implementation)
            shown = self.shown(scenario, verdicts)
        except Exception as error:
            raise HarnessError(f"the harness failed on {scenario.dumps()}") from error
        if not self.raised:
            result.cases += 1
            result.judged += verdicts.judged
            if result.cases <= CIRCUMSTANCE_CASES and verdicts.judged[WRONG_ROWS]:
                result.judged.update(circumstances(scenario))
            result.reach.update(reach_of(trace))
            result.capability_missing += verdicts.capability_missing
        if not shown:
            return
        for kind, violation in shown.items():
            self.note(kind, violation, scenario)
        self.raised = True
        if result.first_failure is None:
            result.first_failure = time.perf_counter() - self.began
        if self.stop or any(isinstance(crash.error, Hang) for crash in trace.crashes):
            raise OutOfTime  # to shrink a hang would be to wait for it again and again
        raise broken(next(iter(shown)))

    def shown(self, scenario: Scenario, verdicts: Verdicts) -> dict[str, Violation]:
        """What a case shows that is not known, by kind: a requirement, or a provisional verdict with its likely reason."""
        found: dict[str, Violation] = {}
        for violation in causes(verdicts.violations):
            kind = violation.requirement
            if kind in (WRONG_ROWS, REFUSED) and self.known:
                if explained_by(scenario, self.implementation, kind, self.known):
                    continue
                reasons = reasons_of(scenario, self.implementation, kind)
                if reasons & self.known:
                    continue
                kind = f"{kind} {min(reasons)}"
            if kind not in self.known:
                found.setdefault(kind, violation)
        return found

    def note(self, kind: str, violation: Violation, scenario: Scenario) -> None:
        finding = Finding(violation.requirement, violation.message, scenario)
        if violation.requirement in (WRONG_ROWS, REFUSED):
            smallest = self.provisional.get(kind)
            if smallest is None or scenario.size() < smallest[1].scenario.size():
                self.provisional[kind] = violation.requirement, finding
            return
        smaller = self.result.findings.get(kind)
        if smaller is None or scenario.size() < smaller.scenario.size():
            self.result.findings[kind] = finding

    def explain(self, verdict: str, finding: Finding) -> None:
        for requirement, without in diagnose(finding.scenario, self.implementation, verdict):
            present = self.result.findings.get(requirement)
            if present is not None and present.scenario != finding.scenario:
                continue  # it was shown by a case of its own
            reasons = (*(present.without if present else ()), *((without,) if without else ()))
            self.result.findings[requirement] = Finding(requirement, finding.message, finding.scenario, reasons)
