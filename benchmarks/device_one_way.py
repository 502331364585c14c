"""One message after the other, in turns of all ways: how long each takes, and what of it is the host's.

From the call that publishes, made when the publisher's device is idle, until the reader has opened the payload and its
stream is synchronised.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.device_bare import Copier
from benchmarks.device_halves import Failed
from benchmarks.device_peers import SGLANG_23_BORROWED
from benchmarks.device_requests import Load, one_image
from benchmarks.device_teams import Sample, Team
from benchmarks.device_ways import ALONE
from benchmarks.transport import MIB, SIDES
from plumbline.timing import Contestant, in_turns

COPY = "bare copy"

Say = Callable[[str], object]


class Entrant:
    """One way to one reader. samples: of messages of one size, in order. failure: why there are no more."""

    def __init__(self, name: str, team: Team, rank: int, load: Load) -> None:
        self.name, self.team, self.rank, self.load = name, team, rank, load
        self.seed = zlib.crc32(f"{name} {rank} {load}".encode())
        self.samples: list[Sample] = []
        self.failure = ""

    def turn(self, count: int, check: bool = False) -> None:
        """check: that payloads come as they were sent."""
        if not self.failure:
            try:
                self.samples += self.team.one_by_one(self.name, self.rank, self.load, self.seed, count, check)
            except Failed as failure:
                self.failure = str(failure)

    def spans(self, count: int) -> dict[str, list[float]]:
        """Microseconds of the last so many messages."""
        spans = [sample.spans for sample in self.samples[-count:]]
        return {name: [round(span[name], 2) for span in spans] for name in spans[0]}


def one_way(teams: Sequence[Team], rounds: int, count: int, say: Say) -> list[dict[str, Any]]:
    """Of each size to each reader."""
    rows = []
    for rank in range(len(teams[0].readers)):
        for size in SIDES:
            rows.append(of_one_size(teams, size, rank, rounds, count))
            show(say, rows[-1])
            torch.cuda.empty_cache()
    return rows


def of_one_size(teams: Sequence[Team], size: float, rank: int, rounds: int, count: int) -> dict[str, Any]:
    """Every way to one reader: microseconds of each message, after one round that is not kept."""
    load, gpu = one_image(size), teams[0].readers[rank]
    entrants = [
        Entrant(way, team, rank, load)
        for team in teams
        for way in team.ways
        if way != SGLANG_23_BORROWED or gpu == 0  # elsewhere its view has to be copied all the same
    ]
    for entrant in entrants:
        entrant.turn(1, check=True)
    copier = Copier(load, gpu)
    turns: list[Entrant | Copier] = [copier, *entrants]
    in_turns({str(k): Contestant(partial(one.turn, count)) for k, one in enumerate(turns)}, rounds, warmup=1)
    keep = 2 * rounds * count
    return {
        "bytes": copier.payload.nbytes,
        "reader": gpu,
        "ways": {COPY: {"one_way": [round(value, 2) for value in copier.samples[-keep:]]}}
        | {entrant.name: entrant.spans(keep) for entrant in entrants if not entrant.failure},
        "failures": {entrant.name: entrant.failure for entrant in entrants if entrant.failure},
    }


def show(say: Say, row: Mapping[str, Any]) -> None:
    nbytes = row["bytes"]
    say(
        f"\n{nbytes / MIB:.1f} MiB ({nbytes:,} bytes) from GPU 0 to GPU {row['reader']}"
        "      us median      p10      p90     GB/s | host: publish  receive     open  release"
    )
    for name, spans in row["ways"].items():
        whole = spans["one_way"]
        deciles = statistics.quantiles(whole, n=10, method="inclusive") if len(whole) > 1 else whole * 9
        middle = statistics.median(whole)
        parts = (f"{statistics.median(spans[key]):9.1f}" for key in spans if key != "one_way")
        rate = "" if name == ALONE else f"{nbytes / middle / 1e3:.1f}"
        say(f"{name:44s} {middle:18.1f} {deciles[0]:8.1f} {deciles[8]:8.1f} {rate:>8s} |     " + "".join(parts))
    show_failures(say, row["failures"])


def show_failures(say: Say, failures: Mapping[str, str]) -> None:
    for name, failure in failures.items():
        say(f"{name} FAILED: {failure.strip().rpartition(chr(10))[2]}")
