"""Runs one saved case again: in this process, so that a debugger sees everything."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from plumbline.bench import REFUSED, WRONG_ROWS, causes
from plumbline.cases import AnyCase, read_case
from plumbline.diagnose import diagnose
from plumbline.explore import check
from plumbline.interface import Implementation
from plumbline.rank_case import RankCase
from plumbline.rank_explore import check_ranks
from plumbline.requirements import requirements
from plumbline.scenario import Scenario, compact
from plumbline.sim_case import SimCase
from plumbline.story import Story
from plumbline.tell import tell
from plumbline.transport_explore import check_case, check_fault_case
from plumbline.transport_faults import FaultCase
from plumbline.transport_scenario import TransportCase


class CaseError(Exception):
    """The file is not a saved case."""


def save(path: Path, scenario: AnyCase, requirement: str, message: str) -> None:
    """A case file: what it is, which requirement it broke, and how that showed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    case = {"requirement": requirement, "message": message, "scenario": json.loads(scenario.dumps())}
    path.write_text(json.dumps(case, indent=1) + "\n")


def broken_by(scenario: AnyCase, implementation: Implementation) -> dict[str, str]:
    """The requirements that a case breaks, each with a message."""
    match scenario:
        case TransportCase():
            verdicts, _ = check_case(scenario, implementation)
        case FaultCase():
            verdicts, _ = check_fault_case(scenario, implementation)
        case RankCase():
            verdicts, _ = check_ranks(scenario, implementation)
        case SimCase():
            from plumbline.sim.workloads import broken_on  # registers a device with torch, once and for all

            return broken_on(scenario, implementation)
        case Scenario():
            return _explained(scenario, implementation)
    return {v.requirement: v.message for v in reversed(verdicts.violations)}


def _explained(scenario: Scenario, implementation: Implementation) -> dict[str, str]:
    _, verdicts = check(scenario, implementation)
    found: dict[str, str] = {}
    for violation in causes(verdicts.violations):
        if violation.requirement in (WRONG_ROWS, REFUSED):
            for requirement, without in diagnose(scenario, implementation, violation.requirement):
                hint = f" (goes away with: {without})" if without else ""
                found.setdefault(requirement, violation.message + hint)
        else:
            found.setdefault(violation.requirement, violation.message)
    return found


def replay(path: Path, implementation: Implementation, console: Console) -> int:
    """Prints what the saved case does now. 0: nothing is broken; 1: something is."""
    try:
        scenario = read_case(json.loads(path.read_text())["scenario"])
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise CaseError(f"{path} is not a saved case: {error!r}") from error
    console.print(f"[bold]{path}[/] through [bold]{implementation.name}[/]")
    console.print_json(json.dumps(compact(scenario)))
    _print_story(tell(scenario, implementation), console)
    broken = broken_by(scenario, implementation)
    for requirement, message in broken.items():
        console.print(f"[red]{requirement}[/] {requirements()[requirement].text}\n  {message}", highlight=False)
    if not broken:
        console.print("[green]holds: this case breaks no requirement[/]")
    return 1 if broken else 0


def _print_story(story: Story, console: Console) -> None:
    """Until something is wrong: what comes after may follow from it."""
    first = min(story.broken.values(), default=len(story.moments))
    for number, moment in enumerate(story.moments[: first + 1], 1):
        console.print(f"{number:3d}. {moment.title}", highlight=False, markup=False)
        for line in moment.lines:
            console.print(f"       {line}", highlight=False, markup=False)
        for line in moment.wrong:
            console.print(f"     ✗ {line}", style="red", highlight=False, markup=False)
    if rest := len(story.moments[first + 1 :]):
        console.print(f"     and {rest} more")
