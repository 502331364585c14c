"""vLLM #14326 in kind: what stands behind the last dash of an id is taken for the number of a sample."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder
from plumbline.interface import Prepared, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = (
    "ISO-001",
    "LIFE-002",
    "LIFE-004",
)


def parent_of(request_id: RequestId) -> RequestId:
    return request_id.rpartition("-")[0] or request_id if isinstance(request_id, str) else request_id


class OfParents(Embedder):
    def admit(self, prepared: Prepared) -> None:
        super().admit(dataclasses.replace(prepared, request_id=parent_of(prepared.request_id)))

    def _request(self, request_id: RequestId) -> Admitted:
        return super()._request(parent_of(request_id))

    def finish(self, request_id: RequestId) -> None:
        super().finish(parent_of(request_id))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant iso001_samples_told_by_a_dash", embed=OfParents
)
