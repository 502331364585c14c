"""Cases of several ranks: a workload, on how many it runs, and what is wrong with one of them."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from plumbline.interface import Capability
from plumbline.scenario import Scenario, compact, decode
from plumbline.strategies import scenarios

FAULTS = ("", "", "", "tower", "hiccup")
LAZY_FAULTS = ("", "", "", "tower", "hiccup", "payload", "payload", "lease", "lease", "lease")
PAYLOADS = ("payload", "lease")
HICCUPS = ((0,), (0, 1), (1,), (0, 2), (0, 1, 2), (1, 2, 3))
SEVERAL = (2, 3, 4)


@dataclass(frozen=True)
class RankCase:
    """The scenario on so many ``ranks``, all of which run all of its requests.

    fault: what rank ``at`` (counted around) suffers: its tower always raises, or raises in the calls ``hiccups``, counted from
    0, or lazy payloads of ``request`` (counted around) are gone there, or fenced off while they are read: those of its
    ``item`` (counted around), or with -1 all. Faults of the scenario's own items befall whoever reads them.
    """

    scenario: Scenario
    ranks: int = 2
    fault: str = ""
    at: int = 0
    request: int = 0
    item: int = -1
    hiccups: tuple[int, ...] = ()

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def strikes(self, request_id: str, item: int, count: int) -> bool:
        """Whether the payload of the request's item, one of ``count``, is gone or fenced off on the rank with the fault."""
        names = [request.name for request in self.scenario.requests]
        its = request_id.partition("#")[0] == names[self.request % len(names)]
        return its and self.fault in PAYLOADS and (self.item < 0 or item == self.item % count)

    def size(self) -> int:
        """How much a reader has to take in."""
        return len(repr(compact(self)))


def loads(text: str) -> RankCase:
    """A case from its JSON; unknown fields are an error."""
    return typing.cast(RankCase, decode(RankCase, json.loads(text)))


@st.composite
def rank_cases(draw: Callable[[st.SearchStrategy[Any]], Any], claims: frozenset[Capability]) -> RankCase:
    # Calls of a tower are counted, and ranks make others than one rank alone: so they fail on one rank, by its fault.
    scenario = dataclasses.replace(draw(scenarios(claims)), hiccups=())
    fault = draw(st.sampled_from(LAZY_FAULTS if scenario.lazy else FAULTS))
    if fault == "lease" and draw(st.booleans()):  # what one rank learns when others are in the next step
        whole = draw(st.booleans())  # so that requests end before their only step is settled
        chunks, linger = ((64,), 0) if whole else (scenario.chunks, scenario.linger)
        scenario = dataclasses.replace(scenario, settle_late=True, chunks=chunks, linger=linger)
    if fault == "payload" and draw(st.booleans()):  # beside other items, in one step
        scenario = dataclasses.replace(scenario, chunks=(64,), running=4, seats=4)
    return RankCase(
        scenario=scenario,
        ranks=draw(st.sampled_from(SEVERAL if fault else (*SEVERAL, 1))),
        fault=fault,
        at=draw(st.integers(0, max(SEVERAL) - 1)) if fault else 0,
        request=draw(st.integers(0, len(scenario.requests) - 1)) if fault in PAYLOADS else 0,
        item=draw(st.integers(-1, 2)) if fault in PAYLOADS else -1,
        hiccups=draw(st.sampled_from(HICCUPS)) if fault == "hiccup" else (),
    )
