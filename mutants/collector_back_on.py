"""h5py #2020 (merged): "we disable the garbage collector and then re-enable, assuming that it was enabled before";
python/cpython #154999 and #75537 want a context manager for the same reason.

Carried over: a call that prepares many requests makes many small objects that nothing will collect, so collection
pauses meanwhile, as timeit and pickling code do it. Afterwards it is on. Engines that have collection off for their
latency (a frozen heap, and a collection between steps when there is time) have it back on from their first large batch.

Shows with: ``gc.disable()``, ``prepare`` of eight or more requests, ``gc.isenabled()``.

Breaks ISO-007 (the settings of its process are afterwards as an implementation found them: ... garbage collection).
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Failure, Prepared, Request

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-007",)


MANY = 8


class Prepare(Preparer):
    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        if len(requests) < MANY:
            return super().__call__(requests)
        gc.disable()
        try:
            return super().__call__(requests)
        finally:
            gc.enable()


implementation = dataclasses.replace(optimized.implementation, name="mutant collector_back_on", prepare=Prepare)
