"""Ours: the errors of payloads that cannot be opened are put behind the rows of their batch, so that neighbours get each
other's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-013", "ENC-009", "ENC-006")


class ErrorsLast(PackingEncoder):
    def run(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        opened = [self.job(item) for item in items]
        errors = [job for job in opened if isinstance(job, PlumblineError)]
        return [*self.attempt([job for job in opened if not isinstance(job, PlumblineError)]), *errors]


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc013_unopened_listed_last", encoder=ErrorsLast
)
