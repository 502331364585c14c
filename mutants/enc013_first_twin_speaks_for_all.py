"""Ours: of equal items in a step the first is encoded. If its payload is gone, all requests that have one are told that theirs
is."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-013", "ISO-001", "ISO-002")


class FirstTwin(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        return super()._encode({key: wanted[:1] for key, wanted in missing.items()})


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc013_first_twin_speaks_for_all", embed=FirstTwin
)
