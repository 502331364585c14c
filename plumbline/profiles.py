"""How much a session tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """cases: generated workloads in each shard. shards: of the session; its implementations share them, so that one alone
    is tried harder in the same time. floors: whether reach below its floor fails the session.

    patience: seconds that a shard goes on after its first failure, to shrink it and to find others.
    """

    cases: int
    shards: int
    floors: bool
    patience: float
    stop_at_first: bool = False


PROFILES = {
    "quick": Profile(cases=250, shards=4, floors=False, patience=10),
    "tests": Profile(cases=600, shards=4, floors=True, patience=20),
    "default": Profile(cases=2000, shards=8, floors=True, patience=40),
    "thorough": Profile(cases=12_500, shards=16, floors=True, patience=600),
    "mutant": Profile(cases=2000, shards=1, floors=False, patience=15, stop_at_first=True),
}


def shards_for(profile: str, implementations: int) -> int:
    """Shards of each implementation."""
    return share(PROFILES[profile].shards, implementations)


def share(count: int, implementations: int) -> int:
    """Of each implementation, where those of a session share them."""
    return max(1, count // implementations)
