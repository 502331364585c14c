"""Cases of every kind that can be saved, read, told and run again."""

from __future__ import annotations

import json

from plumbline.rank_case import RankCase
from plumbline.rank_case import loads as loads_ranks
from plumbline.scenario import Scenario, loads
from plumbline.sim_case import SimCase
from plumbline.sim_case import loads as loads_sim
from plumbline.transport_faults import FaultCase
from plumbline.transport_faults import loads as loads_faults
from plumbline.transport_scenario import TransportCase
from plumbline.transport_scenario import loads as loads_transport

AnyCase = Scenario | TransportCase | FaultCase | RankCase | SimCase


def read_case(data: dict[str, object]) -> AnyCase:
    """A case of any kind from its JSON data. Raises as the kinds' own ``loads`` do."""
    text = json.dumps(data)
    for field, read in (
        ("acts", loads_transport),
        ("stops", loads_faults),
        ("ranks", loads_ranks),
        ("schedule", loads_sim),
    ):
        if field in data:
            return read(text)
    return loads(text)


def kind_of(case: AnyCase) -> str:
    """In a word."""
    kinds = {
        Scenario: "workload",
        TransportCase: "transport",
        FaultCase: "faults",
        RankCase: "ranks",
        SimCase: "simulated device",
    }
    return kinds[type(case)]
