"""B051's kin (SGLang #37005): of a payload in several parts the first is released."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder
from plumbline.interface import RequestId

BUG = "B051"
PARENT = "optimized"
ACCEPT = ("LIFE-006",)


class FirstPart(Embedder):
    def finish(self, request_id: RequestId) -> None:
        request = self._request(request_id)
        request.items = tuple(
            dataclasses.replace(item, payload=item.payload[0]) if isinstance(item.payload, tuple) else item
            for item in request.items
        )
        super().finish(request_id)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life006_release_of_first_part", embed=FirstPart
)
