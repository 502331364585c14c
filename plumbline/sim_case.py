"""A workload on a simulated device: the scenario, and how late what is done there."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass

from plumbline.scenario import Scenario, compact, decode


@dataclass(frozen=True)
class SimCase:
    """schedule: as of ``plumbline.sim.schedule``."""

    scenario: Scenario
    schedule: int = 0

    def dumps(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def size(self) -> int:
        """How much a reader has to take in."""
        return len(repr(compact(self)))


def loads(text: str) -> SimCase:
    """A case from its JSON; unknown fields are an error."""
    return typing.cast(SimCase, decode(SimCase, json.loads(text)))
