"""Ours: results that succeeded come first, and errors after them. Nobody notices as long as nothing fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-009", "ENC-006")


class ErrorsLast(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return sorted(super().encode(items), key=lambda result: isinstance(result, PlumblineError))


implementation = dataclasses.replace(optimized.implementation, name="mutant enc009_errors_last", encoder=ErrorsLast)
