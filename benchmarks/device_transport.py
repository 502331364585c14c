"""Several ways to bring a payload from a GPU to another process, in turns: one-way latency and what of it is the host's.

    python -m benchmarks.device_transport --out FILE      # needs two GPUs; with SGLang's pools where the environment has
                                                          # PLUMBLINE_SGLANG_0_5_23 and PLUMBLINE_SGLANG_0_5_12_POST1

The publisher is on GPU 0, a reader on GPU 1 and another on GPU 0. One way: from the call that publishes, made when the
publisher's device is idle, until the reader has opened the payload and its stream is synchronised; one message after the
other, through the same kind of pipe for all, and both processes read CLOCK_MONOTONIC. The ways of this repository carry a
whole request with its token ids, the others the tensor alone. Whether the bytes are right is checked before they are timed.
What nobody can beat: a copy inside one process, until it is synchronised, and a message without payload.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.device_counters import used
from benchmarks.device_teams import Failed, Sample, Team, payload_of
from benchmarks.device_ways import ALONE, SGLANG_23_BORROWED, TEAMS, variable
from benchmarks.transport import MIB, PATCH, SIDES
from plumbline.results import commit, environment
from plumbline.timing import Contestant, in_turns

COPY = "bare copy"
READERS = (1, 0)
"""The GPU of each rank."""
AT_A_TURN = 5
ROUNDS = 6

Say = Callable[[str], object]


class Entrant:
    """One way to one reader. samples: of messages of one size, in order. failure: why there are no more."""

    def __init__(self, name: str, team: Team, rank: int) -> None:
        self.name, self.team, self.rank = name, team, rank
        self.samples: list[Sample] = []
        self.failure = ""

    def start(self, sides: tuple[int, int]) -> None:
        """Checks that such payloads come as they were sent."""
        self.sides, self.seed = sides, zlib.crc32(f"{self.name} {sides}".encode())
        self.samples = []
        self.turn(1, check=True)

    def turn(self, count: int, check: bool = False) -> None:
        if not self.failure:
            try:
                self.samples += self.team.turn(self.name, self.rank, self.sides, self.seed, count, check)
            except Failed as failure:
                self.failure = str(failure)

    def spans(self, count: int) -> dict[str, list[float]]:
        """Microseconds of the last so many messages."""
        spans = [sample.spans for sample in self.samples[-count:]]
        return {name: [round(span[name], 2) for span in spans] for name in spans[0]}


class Copier:
    """The same payload, copied inside this process into a place that is there already."""

    def __init__(self, sides: tuple[int, int], gpu: int) -> None:
        self.payload = payload_of(sides, 0, torch.device("cuda", 0))
        self.place = torch.empty_like(self.payload, device=torch.device("cuda", gpu))
        self.samples: list[float] = []

    def turn(self, count: int) -> None:
        for _ in range(count):
            self.wait()
            began = time.monotonic_ns()
            self.place.copy_(self.payload, non_blocking=True)
            self.wait()
            self.samples.append((time.monotonic_ns() - began) / 1e3)

    def wait(self) -> None:
        torch.cuda.current_stream(self.payload.device).synchronize()
        torch.cuda.current_stream(self.place.device).synchronize()


def begin(teams: Mapping[str, Team], say: Say) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Lets all processes begin, one after the other. What each reader, with the first payload that it read, added to the
    memory in use on GPU 0; and why teams failed."""
    rows, failures = [], {}
    for name, team in teams.items():
        way = next(way for way in team.ways if way != ALONE)
        try:
            team.begin(None)
            for rank, gpu in enumerate(READERS):
                team.give(way, rank, SIDES[36.0], 1, 1)
                before = used(0)
                team.begin(rank)
                team.exchange(way, rank, 1, None)
                after = used(0)
                rows.append({"way": way, "reader": gpu, "before": before, "after": after})
                added = (after["bytes"] - before["bytes"]) / MIB
                say(
                    f"{way}: a reader on GPU {gpu} adds {added:.1f} MiB to GPU 0"
                    f" (processes there now: {after['processes']})"
                )
        except Failed as failure:
            failures[name] = str(failure)
            say(f"{name} FAILED: {last_line(failure)}")
    return rows, failures


def one_way(teams: Sequence[Team], size: float, rank: int, rounds: int, count: int) -> dict[str, Any]:
    """Every way to one reader: microseconds of each message, after one round that is not kept."""
    entrants = [
        Entrant(way, team, rank)
        for team in teams
        for way in team.ways
        if way != SGLANG_23_BORROWED or READERS[rank] == 0  # elsewhere its view has to be copied all the same
    ]
    for entrant in entrants:
        entrant.start(SIDES[size])
    copier = Copier(SIDES[size], READERS[rank])
    turns: list[Entrant | Copier] = [copier, *entrants]
    in_turns({str(k): Contestant(partial(one.turn, count)) for k, one in enumerate(turns)}, rounds, warmup=1)
    keep = 2 * rounds * count
    return {
        "bytes": copier.payload.nbytes,
        "reader": READERS[rank],
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
        say(
            f"{name:44s} {middle:18.1f} {deciles[0]:8.1f} {deciles[8]:8.1f} {nbytes / middle / 1e3:8.1f} |     "
            + "".join(parts)
        )
    for name, failure in row["failures"].items():
        say(f"{name} FAILED: {last_line(failure)}")


def last_line(failure: object) -> str:
    return str(failure).strip().rpartition("\n")[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/device-transport.json"))
    parser.add_argument("--quick", action="store_true", help="few rounds: whether everything runs")
    options = parser.parse_args()
    rounds, count = (1, 2) if options.quick else (ROUNDS, AT_A_TURN)
    console = Console(highlight=False, width=160, soft_wrap=True)
    began = time.time()
    absent = [name for name in TEAMS if name[0].isdigit() and variable(name) not in os.environ]
    for name in absent:
        console.print(f"SGLang {name} is left out: {variable(name)} names no folder")
    rows = []
    with contextlib.ExitStack() as stack:
        teams = {name: Team(name, READERS) for name in TEAMS if name not in absent}
        for team in teams.values():
            stack.callback(team.close)
        for gpu in set(READERS):
            Copier(SIDES[1.5], gpu).turn(1)  # this process's own context
        torch.cuda.empty_cache()
        memory, failures = begin(teams, console.print)
        able = [team for name, team in teams.items() if name not in failures]
        for rank in range(len(READERS)):
            for size in SIDES:
                rows.append(one_way(able, size, rank, rounds, count))
                show(console.print, rows[-1])
                torch.cuda.empty_cache()
    result: dict[str, Any] = {
        "commit": commit(),
        "environment": environment(),
        "left_out": absent,
        "failures": failures,
    }
    result |= {"patch": PATCH, "took": round(time.time() - began, 1), "memory": memory, "one_way": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result) + "\n")
    console.print(f"\n{options.out} written after {result['took']} s")


if __name__ == "__main__":
    main()
