"""n8n-io/n8n #31706, amietn/vcsi #61, CNES/MAJA #16 (fixes): a path with square brackets goes into glob unescaped, and what is
there is not found.

Carried over: with each beat a rank lists its domain's segments by a glob, the pattern made of the domain's name. Whether a
name is the domain's own is still compared exactly, so that no other engine's segments are taken. Shows: a name with brackets
(``qwen3-vl[fp8]``, which the transport accepts). A beat then finds nothing, lets go of every segment and signs none: a rank
that beats on time is taken for dead after ``lease_seconds``, and what it still reads is fenced. Reading, acknowledging and a
payload that is released in time are right, and so are names without brackets.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import FOLDER, nanoseconds

BUG = ""
PARENT = "optimized"
ACCEPT = ("POOL-006", "POOL-002")

SUFFIX = re.compile("([0-9]{1,9})-([0-9a-f]{16})")


def own_segments(domain: str) -> dict[tuple[int, int], Path]:
    """/dev/shm belongs to everybody: only what begins with our name is looked at."""
    found = {}
    for path in FOLDER.glob(f"{domain}-*"):
        match = SUFFIX.fullmatch(path.name[len(domain) + 1 :])
        if match and path.name.startswith(domain):
            found[int(match[1]), int(match[2], 16)] = path
    return found


class Subscriber(PoolSubscriber):
    def beat(self) -> None:
        self.watchdog.forget()
        known = own_segments(self.domain.name)
        for key in [key for key in self._segments if key not in known]:
            self.watchdog.keep(self._segments.pop(key))
        self._unusable &= known.keys()
        for worker, stamp in known:
            self._segment(worker, stamp)
        now = nanoseconds(self.domain.clock)
        for segment in self._segments.values():
            segment.heard[self.rank] = now


class Transport(SharedMemoryTransport):
    subscriber_type = Subscriber


implementation = dataclasses.replace(optimized.implementation, name="mutant brackets_in_a_name", transport=Transport)
