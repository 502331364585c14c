"""How long one request keeps each resource of an engine busy: what ``fleet`` calculates with and ``simulate`` plays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from plumbline.roofline.ceilings import Ceilings
from plumbline.roofline.request import Request, model, total
from plumbline.roofline.tower import shares

LARGEST = 256
"""Requests of the largest ViT batch that is calculated; beyond, time grows as it does at the end."""


@dataclass(frozen=True)
class Services:
    """Seconds. worker: hash and staging, on one of the workers. staging: the part of it in which the pool is held already.

    egress: of the worker GPU's NVLink; ingress: of a rank's, payloads and gathered rows. pcie: of a rank's link to the host.
    batches: (requests in one ViT batch, seconds of it), rising. payload: bytes of a request in the pool.
    """

    worker: float
    staging: float
    egress: float
    ingress: float
    pcie: float
    batches: tuple[tuple[int, float], ...]
    payload: int

    def batch(self, requests: int) -> float:
        """Seconds of a ViT batch; between those that were calculated, linear."""
        place = bisect_left(self.batches, (requests, 0.0))
        if place < len(self.batches) and self.batches[place][0] == requests:
            return self.batches[place][1]
        place = min(max(place, 1), len(self.batches) - 1)
        (few, short), (many, long) = self.batches[place - 1 : place + 1]
        return short + (long - short) * (requests - few) / (many - few)


def services(request: Request, ceilings: Ceilings) -> Services:
    """At the ceilings: nothing waits for the host, and launches cost nothing."""
    stages = model(request, ceilings)
    seconds = {stage.name: (stage.floor or 0.0) / 1e6 for stage in stages}
    drawn = 0
    if request.origin == "gpu":
        owned = shares(request.tower, request.missing, request.ranks) if request.shared else [list(request.missing)]
        drawn = max(request.nbytes(grids) for grids in owned)
    return Services(
        worker=seconds["hash"] + seconds["stage"],
        staging=seconds["stage"],
        egress=seconds["link"],
        ingress=ceilings.seconds(drawn, "NVLink") + seconds["gather"],
        pcie=seconds["H2D"],
        batches=tuple(_batches(request, ceilings)),
        payload=request.nbytes(request.missing),
    )


def _batches(request: Request, ceilings: Ceilings) -> Iterator[tuple[int, float]]:
    """Encoding, gathering and merging of 1, 2, 4 ... requests together."""
    count = 1
    while count <= LARGEST:
        together = model(request.times(count), ceilings)
        names = ("linears", "attention", "memory", "gather", "merge")
        yield count, total(together, names) / 1e6
        count *= 2
