"""Several ways to bring a payload from a GPU to another process: latency, streams, small items, and bytes over the links.

    python -m benchmarks.device_transport --out FILE      # needs two GPUs, better three; with SGLang's pools where the
                                                          # environment has PLUMBLINE_SGLANG_0_5_23 and
                                                          # PLUMBLINE_SGLANG_0_5_12_POST1

The publisher is on GPU 0, a reader on GPU 1 and another on GPU 0; streams have two readers, on GPUs 1 and 2 where there is a
third, and otherwise on GPUs 1 and 0; and then both on GPU 1. Messages go through the same kind of channel for all, and all
processes read CLOCK_MONOTONIC. The ways of this repository carry whole requests with their token ids, the others the tensors
alone. Whether the bytes are right is checked before they are timed. What nobody can beat is measured in the same run: copies
inside one process, and messages without payload.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.device_bare import Copier
from benchmarks.device_counters import used
from benchmarks.device_halves import Failed
from benchmarks.device_links import links
from benchmarks.device_one_way import Say, one_way, show_failures
from benchmarks.device_peers import variable
from benchmarks.device_requests import one_image
from benchmarks.device_stream import small_items, stream_readers, sustained
from benchmarks.device_teams import OPTIMIZED, START, TEAMS, Team
from benchmarks.device_ways import ALONE
from benchmarks.transport import MIB, PATCH
from plumbline.results import commit, environment

READERS = (1, 0)
"""The GPU of each rank, but for streams."""
ONE_WAY, SMALL, LINKS, STREAM = "one-way", "small", "links", "stream"
SECTIONS = (ONE_WAY, SMALL, LINKS, STREAM)
AT_A_TURN = 8
ROUNDS = 5


def begin(teams: Mapping[str, Team], say: Say) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Lets all processes begin, one after the other. What each reader, with the first payload that it read, added to the
    memory in use on GPU 0; and why teams failed."""
    rows, failures = [], {}
    load = one_image(36.0)
    for name, team in teams.items():
        way = next(way for way in team.ways if way != ALONE)
        try:
            team.begin(None)
            for rank, gpu in enumerate(READERS):
                team.give(way, [frozenset({rank})], load, 1, 1)
                before = used(0)
                team.begin(rank)
                team.bring(way, rank, load, 1, 1)
                after = used(0)
                rows.append({"way": way, "reader": gpu, "before": before, "after": after})
                added = (after["bytes"] - before["bytes"]) / MIB
                say(
                    f"{way}: a reader on GPU {gpu} adds {added:.1f} MiB to GPU 0"
                    f" (processes there now: {after['processes']})"
                )
        except Failed as failure:
            failures[name] = str(failure)
    show_failures(say, failures)
    return rows, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/device-transport.json"))
    parser.add_argument("--only", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--quick", action="store_true", help="few rounds: whether everything runs")
    parser.add_argument(
        "--sleep", action="store_true", help="processes sleep while they wait for a message, and do not poll"
    )
    options = parser.parse_args()
    rounds, count, parts = (1, 2, 8) if options.quick else (ROUNDS, AT_A_TURN, 1)
    say = Console(highlight=False, markup=False, width=160, soft_wrap=True).print
    began = time.time()
    absent = [name for name in TEAMS if name[0].isdigit() and variable(name) not in os.environ]
    for name in absent:
        say(f"SGLang {name} is left out: {variable(name)} names no folder")
    result: dict[str, Any] = {"commit": commit(), "environment": environment(), "patch": PATCH, "left_out": absent}
    result |= {"gpus": torch.cuda.device_count(), "sleep": options.sleep}

    def keep(**found: Any) -> None:
        """Writes what there is by now."""
        result.update(found, took=round(time.time() - began, 1))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result) + "\n")

    with contextlib.ExitStack() as streaming, contextlib.ExitStack() as stack:
        if STREAM in options.only:
            streamers = Team(OPTIMIZED, stream_readers(), options.sleep)  # its processes start while others measure
            streaming.callback(streamers.close)
        if set(options.only) - {STREAM}:
            teams = {name: Team(name, READERS, options.sleep) for name in TEAMS if name not in absent}
            for team in teams.values():
                stack.callback(team.close)
            for gpu in set(READERS):
                Copier(one_image(1.5), gpu).turn(1)  # this process's own context
            torch.cuda.empty_cache()
            memory, failures = begin(teams, say)
            keep(memory=memory, failures=failures)
            able = {name: team for name, team in teams.items() if name not in failures}
            if ONE_WAY in options.only:
                keep(one_way=one_way(list(able.values()), rounds, count, say))
            if SMALL in options.only:
                keep(small=small_items(able, rounds, say))
            if LINKS in options.only:
                keep(links=links(able[OPTIMIZED], say))
        stack.close()
        if STREAM in options.only:
            streamers.do([None, *range(len(streamers.readers))], "begin", START)
            keep(stream=sustained(streamers, rounds, parts, say))
    say(f"\n{options.out} written after {result['took']} s")


if __name__ == "__main__":
    main()
