"""B096, LightLLM #478: a request is released on abort and on finish, and nobody notices the second time."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = "B096"
PARENT = "optimized"
ACCEPT = ("LIFE-005",)


class FinishesTwice(Embedder):
    def finish(self, request_id: RequestId) -> None:
        if request_id in self._requests:
            super().finish(request_id)


implementation = dataclasses.replace(optimized.implementation, name="mutant b096_finish_twice", embed=FinishesTwice)
