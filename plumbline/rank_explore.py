"""One case of several ranks: run it, judge it; and how often a session must reach what kills bugs."""

from __future__ import annotations

from plumbline.bench import Verdicts
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Implementation
from plumbline.judge_ranks import judge_ranks, reach_of
from plumbline.rank_case import RankCase
from plumbline.rank_run import run_ranks
from plumbline.trace import Hang

PART = 16
"""Of as many cases as there are workloads: each is run on up to five engines."""
FLOORS = {
    **{f"{count} ranks": 0.05 for count in (1, 2, 3, 4)},
    "fault: tower": 0.05,
    "fault: hiccup": 0.03,
    "fault: payload": 0.005,
    "fault: lease": 0.005,
    "rows travel": 0.40,
    "a rank without items": 0.20,
    "uneven shares": 0.30,
    "a failure is agreed": 0.10,
    "a lease is lost": 0.005,
    "settled late": 0.04,
    "a chunk is sent again": 0.03,
    "a payload is gone": 0.002,
}
"""Least share of the cases of a session that reach a situation."""


def check_ranks(case: RankCase, implementation: Implementation) -> tuple[Verdicts, set[str]]:
    """The verdicts on one case, and the situations that it reached. A hang breaks RANK-002."""
    try:
        with watchdog(HANG_SECONDS):
            run = run_ranks(case, implementation)
    except Hang as hang:
        verdicts = Verdicts(hung=True)
        verdicts.check("RANK-002", False, f"a call did not return: {hang}")
        return verdicts, set()
    return judge_ranks(run), reach_of(run)
