"""Ours: content on which the tower failed once is refused from then on, so that a moment without memory lasts for ever."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import Cache, Encoder, EncodingFailed, PlumblineError, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-012", "ISO-001")


class Remembers(Embedder):
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        super().__init__(runtime, encoder, cache)
        self.failed: dict[Key, PlumblineError] = {}

    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        known = {key: self.failed[key] for key in missing if key in self.failed}
        fresh, errors = super()._encode({key: wanted for key, wanted in missing.items() if key not in known})
        self.failed |= {key: error for key, error in errors.items() if isinstance(error, EncodingFailed)}
        return fresh, errors | known


implementation = dataclasses.replace(optimized.implementation, name="mutant enc012_failure_remembered", embed=Remembers)
