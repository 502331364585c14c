"""Ours: items that are encoded one by one after their call failed get the first side level for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import Job, PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-012", "ENC-006", "ENC-010")


class FirstLevel(PackingEncoder):
    def attempt(self, jobs: Sequence[Job]) -> Sequence[Encoded | PlumblineError]:
        results = super().attempt(jobs)
        return [self.levelled(one) for one in results] if len(jobs) == 1 and self.failed else results

    def levelled(self, result: Encoded | PlumblineError) -> Encoded | PlumblineError:
        return Encoded(result.rows, result.side[:1] * len(result.side)) if isinstance(result, Encoded) else result

    def run(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        self.failed = False
        return super().run(items)

    def call(self, jobs: Sequence[Job]) -> list[Encoded]:
        try:
            return super().call(jobs)
        except Exception:
            self.failed = True
            raise


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc012_first_level_after_a_failure", encoder=FirstLevel
)
