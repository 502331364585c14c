"""B081, rtp-llm #1079: the exception of a batch is given to every item in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded, PlumblineError

BUG = "B081"
PARENT = "optimized"
ACCEPT = ("ENC-006", "ENC-009")


class OneForAll(PackingEncoder):
    def attempt(self, jobs: Sequence[Job]) -> Sequence[Encoded | PlumblineError]:
        try:
            return self.call(jobs) if jobs else []
        except Exception as error:
            return [self.failure(item, error) for item, _ in jobs]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b081_batch_fails_together", encoder=OneForAll
)
