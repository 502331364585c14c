"""The frames of a tower's error are let go cause by cause until there is none, which in a ring of causes never comes. It was
optimized's own: a step hung for ever (``raise error from error``, as two clean-up handlers give it between them).
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import EncodingFailed, Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-006", "CHUNK-004")


class Patient(PackingEncoder):
    def failure(self, item: Item, error: Exception) -> EncodingFailed:
        cause: BaseException | None = error
        while cause is not None:
            cause.__traceback__ = None
            cause = cause.__cause__ or cause.__context__
        return super().failure(item, error)


implementation = dataclasses.replace(optimized.implementation, name="mutant first_cause_looked_for", encoder=Patient)
