"""async-lru #199, stem #156, pickledb #70, ipython #8017 (fixed): one exception object for all failures of a kind. It tells of
another failure than that of its reader, and each raise adds a traceback, whose frames keep what they hold.

Carried over: a flood of equal bad requests (a client in a retry loop) keeps one error object instead of thousands: errors are
interned by type, what and hint. Where it happened is not asked, so all but the first have the ``where`` of the first.

Shows when two requests, of one call or of different ones, are refused for the same reason: the second caller reads the
first one's request id (perhaps another tenant's) and position. Callers that raise the errors pile up tracebacks on it.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.prepare import Draft, Preparer
from plumbline.interface import Failure, Identify, PlumblineError, Request, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-003",)
MOST = 256


class InterningPreparer(Preparer):
    """refusals: the errors of late, one of a kind."""

    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        super().__init__(runtime, identify)
        self.refusals: dict[tuple[type[PlumblineError], str, str], PlumblineError] = {}

    def draft(self, request: Request, seen: set[str]) -> Draft | Failure:
        result = super().draft(request, seen)
        if isinstance(result, Draft):
            return result
        error = result.error
        if len(self.refusals) >= MOST:
            self.refusals.pop(next(iter(self.refusals)))
        return Failure(result.request_id, self.refusals.setdefault((type(error), error.what, error.hint), error))


implementation = dataclasses.replace(optimized.implementation, name="mutant refusals_shared", prepare=InterningPreparer)
