"""Ours: a call that failed is halved until only the guilty fail, and the halves that succeeded are listed before the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-012", "ENC-006", "ENC-009")


class Halves(PackingEncoder):
    def attempt(self, jobs: Sequence[Job]) -> Sequence[Encoded | PlumblineError]:
        try:
            return self.call(jobs) if jobs else []
        except Exception as error:
            if len(jobs) == 1:
                return [self.failure(jobs[0][0], error)]
        middle = len(jobs) // 2
        halves = [self.attempt(jobs[:middle]), self.attempt(jobs[middle:])]
        halves.sort(key=lambda half: any(isinstance(one, PlumblineError) for one in half) and len(half) > 1)
        return [result for half in halves for result in half]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc012_halves_in_another_order", encoder=Halves
)
