"""Judges a trace by every requirement that applies to it, against the closed form.

Two verdicts are provisional: WRONG_ROWS and REFUSED say what happened, not why. ``diagnose.py`` finds the requirement,
by seeing which simplification of the scenario makes them go away.
"""

from __future__ import annotations

from plumbline.bench import Verdicts
from plumbline.interface import Capability
from plumbline.judge_preparation import PreparationJudge
from plumbline.judge_steps import StepJudge
from plumbline.judge_work import WorkJudge
from plumbline.trace import Trace


def judge(trace: Trace, claims: frozenset[Capability]) -> Verdicts:
    """All verdicts on one trace."""
    verdicts = Verdicts()
    for judge_of in (WorkJudge, PreparationJudge, StepJudge):
        judge_of(trace, claims, verdicts).go()
    return verdicts
