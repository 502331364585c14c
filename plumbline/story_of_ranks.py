"""Tells a case of several ranks: the workload as rank 0 ran it, and beside it what the others did in each step."""

from __future__ import annotations

from plumbline.interface import Implementation
from plumbline.judge_ranks import judge_ranks
from plumbline.rank_case import RankCase
from plumbline.rank_run import RankRun, run_ranks
from plumbline.story import Story
from plumbline.story_of_workload import Teller


def tell_ranks(case: RankCase, implementation: Implementation) -> Story:
    """Runs the case once more."""
    run = run_ranks(case, implementation)
    tellers = [Teller(trace) for trace in run.traces]
    story = tellers[0].story(judge_ranks(run).violations)
    at = {moment.title: moment for moment in story.moments}
    for rank, teller in enumerate(tellers):
        for number, record in enumerate(teller.trace.steps):
            moment = at.get(teller.title(record))
            if moment is not None:
                calls = teller.worked(record, ()) if rank else ()
                moment.lines += [f"rank {rank}: {line}" for line in (*calls, *_entered(run, rank, number))]
    story.begin(_fault(case))
    if run.diverged:
        story.moments[-1].lines.append(f"the ranks do not meet: {run.diverged}")
    return story


def _entered(run: RankRun, rank: int, number: int) -> list[str]:
    seen = run.seen[rank]
    names = [str(one) for one in seen[number].collectives] if number < len(seen) else []
    return [f"enters {', '.join(names)}"] if names else []


def _fault(case: RankCase) -> str:
    names = [request.name for request in case.scenario.requests]
    struck = names[case.request % len(names)] if names else "nobody"
    what = "the payloads" if case.item < 0 else f"the payload of item {case.item} (counted around)"
    said = {
        "": "none of them with a fault of its own",
        "tower": f"the tower of rank {case.at % case.ranks} always fails",
        "hiccup": f"the tower of rank {case.at % case.ranks} fails in its calls {case.hiccups}",
        "payload": f"{what} of {struck} gone on rank {case.at % case.ranks}",
        "lease": f"{what} of {struck} fenced off while rank {case.at % case.ranks} reads",
    }
    return f"{case.ranks} ranks, {said[case.fault]}; the steps are those of rank 0"
