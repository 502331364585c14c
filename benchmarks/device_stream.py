"""Streams of messages: bytes per second beside bare copies, and small items per second.

A publisher sends as fast as it can. Its readers queue what they open and release, and wait for their GPU once, at the end;
the time is from the first that is published until the last is there.

What limits a stream is the way out of GPU 0: each byte that a reader on another GPU gets has to leave over its links. So the
measure is the time of bare copies of the same bytes, to the same GPUs and in the same order, by one process with a CUDA
stream for each reader; pulled by the readers' GPUs or pushed by GPU 0, whichever is faster in that run. A reader on GPU 0
needs no copy, and adds none to the measure.
"""

from __future__ import annotations

import itertools
import statistics
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.device_bare import Streams
from benchmarks.device_halves import Failed
from benchmarks.device_one_way import Say, show_failures
from benchmarks.device_peers import SGLANG_23, TORCH
from benchmarks.device_requests import DISTINCT, Load, bytes_of, evenly_mixed, mostly_small, one_image, small
from benchmarks.device_teams import OPTIMIZED, RELEASE_23, Stream, Team
from benchmarks.device_ways import ALONE, IN_PLACE_FLOW, STAGED_FLOW
from plumbline.timing import Contestant, in_turns, ratio

PULLED, PUSHED = "bare copies, pulled", "bare copies, pushed"
TARGET = 0.85
"""Of the rate of bare copies."""
LOADS: Mapping[str, tuple[Load, int]] = {
    "36 MiB": (one_image(36.0, DISTINCT), 384),
    "64 KiB to 112 MiB, evenly": (evenly_mixed(0), 256),
    "64 KiB to 112 MiB, mostly small": (mostly_small(0), 768),
}
"""What is sent, and how many requests in a turn."""
DELIVERIES: Mapping[str, Sequence[frozenset[int]]] = {
    "alternately": (frozenset({0}), frozenset({1})),
    "to both": (frozenset({0, 1}),),
}
"""Which of two readers get each request, in turn."""

SMALL: Mapping[str, Sequence[str]] = {
    OPTIMIZED: (ALONE, STAGED_FLOW, IN_PLACE_FLOW),
    TORCH: (TORCH,),
    RELEASE_23: (SGLANG_23,),
}
"""Ways that bring small items, by team."""
FEW, MOST_ITEMS = 16, 3072
"""Requests, and items, of one turn: fewer than the pool of SGLang has places."""
SPAN = 0.1
"""Seconds that a turn with small items should take."""


class Flow:
    """One way. count: requests in a turn. samples: of each turn. failure: why there are no more."""

    def __init__(self, name: str, team: Team, groups: Sequence[frozenset[int]], load: Load, count: int) -> None:
        self.name, self.team, self.groups, self.load, self.count = name, team, groups, load, count
        self.seed = zlib.crc32(f"{name} {groups} {len(load)}".encode())
        self.samples: list[Stream] = []
        self.failure = ""

    def turn(self, check: bool = False) -> None:
        """check: that payloads come as they were sent."""
        if not self.failure:
            try:
                self.samples.append(self.team.stream(self.name, self.groups, self.load, self.seed, self.count, check))
            except Failed as failure:
                self.failure = str(failure)

    def fit(self, most: int) -> None:
        """Takes as many requests, up to ``most``, as fill the time of a turn."""
        self.turn()
        if not self.failure:
            self.count = min(most, max(self.count, round(SPAN * self.count / self.samples[-1].seconds)))

    def seconds(self, turns: int) -> list[float]:
        """Of the last turns."""
        return [sample.seconds for sample in self.samples[-turns:]]


def stream_readers() -> list[int]:
    """GPUs: of two readers elsewhere, where there are enough GPUs, and of a third beside the first."""
    return [1, 2 if torch.cuda.device_count() > 2 else 0, 1]


def sustained(team: Team, rounds: int, parts: int, say: Say) -> list[dict[str, Any]]:
    """team: of readers on ``stream_readers()``. parts: how many times fewer requests."""
    rows = []
    for other, (delivery, groups), load in itertools.product((1, 2), DELIVERIES.items(), LOADS):
        ranks = (0, other)
        row = {"load": load, "delivery": delivery, "readers": [team.readers[rank] for rank in ranks]}
        groups = [frozenset(ranks[k] for k in group) for group in groups]
        rows.append(row | of_one_load(team, groups, LOADS[load][0], LOADS[load][1] // parts, rounds))
        show(say, rows[-1])
        torch.cuda.empty_cache()
    return rows


def of_one_load(team: Team, groups: Sequence[frozenset[int]], load: Load, count: int, rounds: int) -> dict[str, Any]:
    """Seconds of each turn, and of the ways what part of the rate of bare copies they have, with its 95 % interval."""
    flows = [Flow(name, team, groups, load, count) for name in (STAGED_FLOW, IN_PLACE_FLOW)]
    for flow in flows:
        flow.turn(check=True)
    bare = {PULLED: Streams(load, groups, team.readers, count, pulled=True)}
    bare[PUSHED] = Streams(load, groups, team.readers, count, pulled=False)
    contestants = {name: Contestant(one.turn) for name, one in bare.items()}
    in_turns(contestants | {flow.name: Contestant(flow.turn) for flow in flows}, rounds, warmup=1)
    turns = 2 * rounds
    able = [flow for flow in flows if not flow.failure]
    seconds = {name: one.samples[-turns:] for name, one in bare.items()}
    measure = min(bare, key=lambda name: statistics.median(seconds[name]))
    return {
        "requests": count,
        "link_bytes": bare[PULLED].nbytes,
        "measure": measure,
        "fractions": {flow.name: ratio(seconds[measure], flow.seconds(turns)) for flow in able},
        "seconds": seconds | {flow.name: flow.seconds(turns) for flow in able},
        "notes": {flow.name: [sample.notes for sample in flow.samples[-turns:]] for flow in able},
        "failures": {flow.name: flow.failure for flow in flows if flow.failure},
    }


def show(say: Say, row: Mapping[str, Any]) -> None:
    nbytes, count, where = row["link_bytes"], row["requests"], " and ".join(map(str, row["readers"]))
    say(
        f"\n{row['load']}, {row['delivery']}, GPUs {where}: {count} requests, {nbytes / 1e9:.1f} GB over links"
        f"\n{'':44s} ms median  GB/s over links   of the bare rate, 95 %     polls a request  pool filled"
    )
    for name, seconds in row["seconds"].items():
        middle = statistics.median(seconds)
        text = f"{name:44s} {1e3 * middle:9.2f} {nbytes / middle / 1e9:16.1f}"
        if name in row["fractions"]:
            share, low, high = row["fractions"][name]
            polls, filled = (
                statistics.fmean(notes[key] for notes in row["notes"][name]) for key in ("polls", "filled")
            )
            text += f"   {share:.3f} [{low:.3f}, {high:.3f}] {'' if share >= TARGET else 'LOW':4s}"
            text += f" {polls / count:17.2f} {filled:12.2f}"
        say(text)
    show_failures(say, row["failures"])


def small_items(teams: Mapping[str, Team], rounds: int, say: Say) -> list[dict[str, Any]]:
    """Of 16 to 96 KiB, to the first reader, one in each request and 64: seconds of turns of each way."""
    rows = []
    for images in (1, 64):
        load = small(images, 0)
        flows = [
            Flow(name, team, [frozenset({0})], load, FEW) for key, team in teams.items() for name in SMALL.get(key, ())
        ]
        for flow in flows:
            flow.turn(check=True)
            flow.fit(MOST_ITEMS // images)
        in_turns({flow.name: Contestant(flow.turn) for flow in flows}, rounds, warmup=1)
        rows.append(
            {
                "items": images,
                "item_bytes": sum(map(bytes_of, load)) / len(load) / images,
                "ways": {
                    flow.name: {"requests": flow.count, "seconds": flow.seconds(2 * rounds)}
                    for flow in flows
                    if not flow.failure
                },
                "failures": {flow.name: flow.failure for flow in flows if flow.failure},
            }
        )
        show_small(say, rows[-1])
    return rows


def show_small(say: Say, row: Mapping[str, Any]) -> None:
    say(
        f"\nrequests of {row['items']} items, of {row['item_bytes'] / 1024:.0f} KiB on average, from GPU 0 to GPU 1"
        f"\n{'':44s} items/s median, least, most      us a request   requests in a turn"
    )
    for name, way in row["ways"].items():
        count = way["requests"]
        rates = sorted(row["items"] * count / seconds for seconds in way["seconds"])
        middle = statistics.median(rates)
        say(
            f"{name:44s} {middle:14,.0f} {rates[0]:10,.0f} {rates[-1]:10,.0f} {1e6 * row['items'] / middle:12.1f} {count:10d}"
        )
    show_failures(say, row["failures"])
