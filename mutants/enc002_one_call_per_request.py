"""Ours: the items of one request are encoded together, and requests one after another."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-002",)


class RequestByRequest(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        fresh: dict[Key, Known] = {}
        errors: dict[Key, PlumblineError] = {}
        for owner in {id(wanted[0][0]) for wanted in missing.values()}:
            own = {key: wanted for key, wanted in missing.items() if id(wanted[0][0]) == owner}
            found, failed = super()._encode(own)
            fresh |= found
            errors |= failed
        return fresh, errors


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc002_one_call_per_request", embed=RequestByRequest
)
