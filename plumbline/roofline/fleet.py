"""Hosts x GPUs on paper: how large the pool has to be, and what saturates first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from plumbline.roofline.services import LARGEST, Services

NEGLIGIBLE = 1e-13
SETTLED = 1e-10
ROUNDS = 5000
REACHED = 1e-6
"""How often a batch may be of the largest size before the numbers of the others are not to be believed."""
RAREST = 1e-9
"""The least probability that sums of chances above ``NEGLIGIBLE`` can tell."""
Chances = tuple[int, list[float]]
"""The number of events at which they begin, and the chance of that many, of one more ..."""


class FleetError(ValueError):
    """The numbers describe no fleet."""


@dataclass(frozen=True)
class Fleet:
    """rate: requests a second that arrive at one engine, as a Poisson process. ranks: GPUs of an engine. workers: of an engine.

    late: mean seconds by which each rank reads later than it could, independently and exponentially distributed.
    kept: seconds that a payload stays leased after its rows are there (until its request finishes, with retention by lease).
    full: the probability of finding the pool full that is accepted.
    """

    rate: float
    hosts: int = 1
    gpus: int = 8
    ranks: int = 1
    workers: int = 1
    late: float = 0.0
    kept: float = 0.0
    full: float = 1e-3

    def __post_init__(self) -> None:
        if self.rate <= 0 or not RAREST <= self.full < 1 or min(self.late, self.kept) < 0:
            raise FleetError("rates and probabilities are positive, and times are not negative")
        if min(self.hosts, self.gpus, self.ranks, self.workers) < 1 or self.engines < 1:
            raise FleetError("there is at least one of everything, and the GPUs are enough for one engine")

    @property
    def engines(self) -> int:
        """No engine spans hosts."""
        return self.hosts * (self.gpus // self.ranks)


@dataclass(frozen=True)
class Plan:
    """saturation: requests a second at which each resource of one engine is busy all the time; None where it is not used.
    fleet_rate: at which the bottleneck of all engines is.

    Of one engine: held: mean seconds of a lease; leased: mean payloads in the pool; slots: payloads that it has to hold so
    that it is found full no more often than accepted; beyond: how often a pool without end has as many. All of these None
    where ``rate`` saturates the engine.
    """

    saturation: Mapping[str, float | None]
    bottleneck: str | None
    fleet_rate: float | None
    held: float | None = None
    leased: float | None = None
    slots: int | None = None
    beyond: float | None = None
    pool_bytes: int | None = None


def plan(fleet: Fleet, services: Services) -> Plan:
    saturation = saturations(fleet, services)
    used = {name: most for name, most in saturation.items() if most is not None}
    bottleneck = min(used, key=lambda name: used[name], default=None)
    most = used[bottleneck] if bottleneck else math.inf
    bare = Plan(saturation, bottleneck, most * fleet.engines if bottleneck else None)
    at_vit = at_the_vit(fleet.rate, services) if fleet.rate < most else None
    if at_vit is None:
        return bare
    elsewhere = fleet.rate * (
        services.staging
        + queued(fleet.rate, services.egress)
        + queued(fleet.rate, services.pcie)
        + latest(fleet.late, fleet.ranks)
        + fleet.kept
    )  # Little's law
    leased = elsewhere + sum(count * chance for count, chance in enumerate(at_vit))
    slots, beyond = enough(elsewhere, at_vit, fleet.full)
    return replace(
        bare, held=leased / fleet.rate, leased=leased, slots=slots, beyond=beyond, pool_bytes=slots * services.payload
    )


def saturations(fleet: Fleet, services: Services) -> dict[str, float | None]:
    """The inverse of what a request takes of each resource; of the ViT, what one more request adds to a large batch."""
    (few, short), (many, long) = services.batches[-2:]
    busy = {
        "workers": services.worker / fleet.workers,
        "NVLink": max(services.egress, services.ingress),
        "PCIe": services.pcie,
        "ViT": (long - short) / (many - few),
    }
    return {name: 1 / seconds if seconds else None for name, seconds in busy.items()}


def queued(rate: float, service: float) -> float:
    """Mean seconds in a queue with fixed service, service included: M/D/1, by Pollaczek and Khinchine."""
    return service + rate * service**2 / (2 * (1 - rate * service))


def latest(late: float, ranks: int) -> float:
    """Mean of the largest of ``ranks`` exponential delays: the n-th harmonic number times their mean."""
    return late * sum(1 / k for k in range(1, ranks + 1))


def at_the_vit(rate: float, services: Services) -> list[float] | None:
    """Chances of 0, 1, 2 ... requests that wait for the ViT or are in it, where a batch is all that waits. None: without end.

    The sizes of consecutive batches are a Markov chain: the next one has as many requests as arrive during this one, or one
    after an idle time. A moment lies in a batch with probability proportional to its length, anywhere in it alike; so what has
    arrived since its start is Poisson distributed with a mean that is anything alike from 0 to ``rate`` times its length.
    """
    times = [0.0, *(services.batch(n) for n in range(1, LARGEST + 1))]
    share = batches([poisson(rate * seconds, LARGEST) for seconds in times])
    if share[LARGEST] > REACHED:
        return None
    idle = sum(weight * math.exp(-rate * seconds) for weight, seconds in zip(share, times, strict=True)) / rate
    cycle = idle + sum(weight * seconds for weight, seconds in zip(share, times, strict=True))
    found = [0.0] * (2 * LARGEST + 1)
    found[0] = idle / cycle
    for now, weight in enumerate(share):
        mean = rate * times[now]
        if weight > NEGLIGIBLE and mean:
            first, chances = poisson(mean, LARGEST)
            beyond = 1.0
            for waiting in range(first + len(chances)):
                beyond -= chances[waiting - first] if waiting >= first else 0.0
                found[now + waiting] += weight * times[now] / cycle * max(beyond, 0.0) / mean
    return found


def batches(rows: list[Chances]) -> list[float]:
    """How often a batch has each size, in the long run. rows: arrivals during a batch, by its size."""
    share = [0.0] * (LARGEST + 1)
    share[1] = 1.0
    for _ in range(ROUNDS):
        following = [0.0] * (LARGEST + 1)
        for now, weight in enumerate(share):
            if weight > NEGLIGIBLE:
                first, chances = rows[now]
                for offset, chance in enumerate(chances):
                    following[max(first + offset, 1)] += weight * chance
        change = sum(abs(a - b) for a, b in zip(share, following, strict=True))
        share = following
        if change < SETTLED:
            break
    return share


def poisson(mean: float, most: int) -> Chances:
    """Chances of first, first + 1 ... events, without negligible ones; those of more than ``most`` count as ``most``."""
    first, chances, left, log = 0, [], 1.0, -mean
    for events in range(most):
        chance = math.exp(log)
        if chance > NEGLIGIBLE:
            chances.append(chance)
            left -= chance
        elif chances or events > mean:
            return first, chances
        else:
            first = events + 1
        log += math.log(mean / (events + 1)) if mean else -math.inf
    return first, [*chances, max(left, 0.0)]


def enough(elsewhere: float, at_vit: list[float], full: float) -> tuple[int, float]:
    """The least number of slots that a request finds all taken with probability ``full`` at most, and that probability.

    In a pool without end: where a request that finds no room goes another way, a pool of this size is found full more rarely.
    The leases of requests that are not at the ViT are Poisson distributed with mean ``elsewhere``, however long each lasts
    (M/G/infinity), and independent of what is at the ViT, which got there earlier.
    """
    first, chances = poisson(elsewhere, math.ceil(elsewhere + 40 * math.sqrt(elsewhere) + 100))
    both = [0.0] * (len(chances) + len(at_vit))
    for there, weight in enumerate(at_vit):
        if weight > NEGLIGIBLE:
            for offset, chance in enumerate(chances):
                both[there + offset] += weight * chance
    slots, beyond = first, 1.0
    for chance in both:
        if beyond <= full:
            break
        beyond -= chance
        slots += 1
    return slots, max(beyond, 0.0)
