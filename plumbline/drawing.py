"""Draws cases with Hypothesis and shrinks those that fail. What a case is, and what failing means, is the caller's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

C = TypeVar("C")


class HarnessError(BaseException):
    """The harness itself failed. Never a verdict, and never taken for a pass."""


class OutOfTime(KeyboardInterrupt):
    """Passes through Hypothesis, so that a drawing can end while it shrinks."""


class Broken(Exception):
    """A case fails. Cases of one kind are shrunk to one."""


@lru_cache
def broken(kind: str) -> type[Broken]:
    """Hypothesis tells failures apart by their type."""
    return type(f"Broken {kind}", (Broken,), {})


@dataclass
class Tally:
    """What was drawn. first_failure: seconds until then. judged: how often each requirement was judged, by id."""

    cases: int = 0
    seconds: float = 0.0
    first_failure: float | None = None
    judged: Counter[str] = field(default_factory=Counter)
    reach: Counter[str] = field(default_factory=Counter)


def draw_each(judge: Callable[..., None], examples: int, session_seed: int, *strategies: SearchStrategy[Any]) -> None:
    """Calls ``judge`` with what is drawn, until it raises, which is raised here. Nothing is shrunk."""
    configured = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    configured(seed(session_seed)(given(*strategies)(judge)))()


def draw_cases(
    strategy: SearchStrategy[C],
    one: Callable[[C], None],
    examples: int,
    session_seed: int,
    shrink: bool = True,
    stop_at_first: bool = False,
) -> bool:
    """Calls ``one`` with cases until ``examples`` passed or one failed for good. False: ended by OutOfTime.

    one: raises ``broken(kind)`` for a case that fails. stop_at_first: no more drawing after the first that does.
    Raises HarnessError if Hypothesis ends for any other reason than a case that failed.
    """
    raised = False

    def watched(case: C) -> None:
        nonlocal raised
        try:
            one(case)
        except Broken:
            raised = True
            raise

    configured = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=not stop_at_first,
        print_blob=False,
    )
    try:
        configured(seed(session_seed)(given(strategy)(watched)))()
    except OutOfTime:
        return False
    except Exception as error:
        if not raised:
            raise HarnessError("Hypothesis gave up") from error
    return True
