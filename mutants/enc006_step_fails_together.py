"""Ours: where any item of a step failed, every request that waits for an item fails with it."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-006",)


class StepFails(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        fresh, errors = super()._encode(missing)
        if errors:
            return {}, dict.fromkeys(missing, next(iter(errors.values())))
        return fresh, errors


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc006_step_fails_together", embed=StepFails
)
