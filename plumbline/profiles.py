"""How much a session tries: cases for each shard, shards for each implementation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """cases: generated workloads in each shard. floors: whether reach below its floor fails the session.

    patience: seconds that a shard goes on after its first failure, to shrink it and to find others.
    """

    cases: int
    shards: int
    floors: bool
    patience: float
    stop_at_first: bool = False


PROFILES = {
    "quick": Profile(cases=250, shards=2, floors=False, patience=10),
    "tests": Profile(cases=600, shards=2, floors=True, patience=20),
    "default": Profile(cases=1200, shards=4, floors=True, patience=60),
    "thorough": Profile(cases=12_500, shards=8, floors=True, patience=600),
    "mutant": Profile(cases=2000, shards=1, floors=False, patience=15, stop_at_first=True),
}
