"""The story of a case of any kind, told by running it once more."""

from __future__ import annotations

from plumbline.cases import AnyCase
from plumbline.explore import watchdog
from plumbline.interface import Implementation
from plumbline.rank_case import RankCase
from plumbline.scenario import Scenario
from plumbline.sim_case import SimCase
from plumbline.story import Moment, Story
from plumbline.story_of_ranks import tell_ranks
from plumbline.story_of_workload import tell_workload
from plumbline.trace import Hang
from plumbline.transport_faults import FaultCase, run_faults
from plumbline.transport_run import tell as tell_transport
from plumbline.transport_scenario import TransportCase

SECONDS = 5
"""For a run that may not return."""


def tell(case: AnyCase, implementation: Implementation) -> Story:
    """Never raises for what the implementation does."""
    try:
        with watchdog(SECONDS):
            return _told(case, implementation)
    except Hang:
        return Story([Moment("run again", wrong=[f"a call did not return within {SECONDS} seconds"])])


def _told(case: AnyCase, implementation: Implementation) -> Story:
    match case:
        case TransportCase():
            return tell_transport(case, implementation)
        case FaultCase():
            return run_faults(case, implementation).story
        case RankCase():
            return tell_ranks(case, implementation)
        case SimCase():
            from plumbline.sim.workloads import tell_on  # registers a device with torch, once and for all

            return tell_on(case, implementation)
        case Scenario():
            return tell_workload(case, implementation)
