"""B122, vLLM #55546: the error of one item leaves the step, and ends the engine's loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded, PlumblineError

BUG = "B122"
PARENT = "optimized"
ACCEPT = ("ENC-006", "CHUNK-004", "ISO-003")


class Escapes(PackingEncoder):
    def attempt(self, jobs: Sequence[Job]) -> Sequence[Encoded | PlumblineError]:
        return self.call(jobs) if jobs else []


implementation = dataclasses.replace(optimized.implementation, name="mutant b122_tower_error_escapes", encoder=Escapes)
