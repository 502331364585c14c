"""How much a session tries: cases for each shard, shards for each implementation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """cases: generated workloads in each shard. floors: whether reach below its floor fails the session."""

    cases: int
    shards: int
    floors: bool
    stop_at_first: bool = False


PROFILES = {
    "quick": Profile(cases=250, shards=2, floors=False),
    "tests": Profile(cases=600, shards=2, floors=True),
    "default": Profile(cases=4000, shards=4, floors=True),
    "thorough": Profile(cases=12_500, shards=8, floors=True),
    "mutant": Profile(cases=2000, shards=1, floors=False, stop_at_first=True),
}
