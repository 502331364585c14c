"""Which bytes go where: copies of either process as CUPTI records them, and data over NVLinks as the GPUs count it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.device_bare import Streams
from benchmarks.device_counters import linked
from benchmarks.device_halves import Failed
from benchmarks.device_one_way import Say
from benchmarks.device_requests import bytes_of, one_image
from benchmarks.device_teams import START, Team
from benchmarks.device_ways import IN_PLACE_FLOW, STAGED_FLOW

LOAD = one_image(36.0)
RECORDED, COUNTED = 20, 500
"""Requests."""
Bytes = dict[str, int]
"""Over links: sent, received."""


def links(team: Team, say: Say) -> dict[str, Any]:
    """failure: why there is no more."""
    found: dict[str, Any] = {"recorded": []}
    processes = [None, *range(len(team.readers))]
    try:
        found["counted"] = over_links(team)
        show_counted(say, found["counted"])
        for order in ("trace", "traced"):  # the first takes long, and may miss something
            team.do(processes, order, START)
        for rank in range(len(team.readers)):
            for way in (STAGED_FLOW, IN_PLACE_FLOW):
                found["recorded"].append(recorded(team, way, rank))
                show_recorded(say, found["recorded"][-1])
    except Failed as failure:
        found["failure"] = str(failure)
        say(f"FAILED: {failure}")
    return found


def over_links(team: Team) -> dict[str, Any]:
    """What the publisher's GPU and the first reader's count while payloads come in place, and while they are bare copies,
    which shows what the counters are worth."""
    gpus, groups = (0, team.readers[0]), [frozenset({0})]
    bare = Streams(LOAD, groups, team.readers, COUNTED, pulled=True)
    readings = [linked(gpus)]
    team.stream(IN_PLACE_FLOW, groups, LOAD, 0, COUNTED)
    readings.append(linked(gpus))
    bare.turn()
    readings.append(linked(gpus))
    return {
        "payload_bytes": bare.nbytes,
        "gpus": gpus,
        "in_place": [moved(*pair) for pair in zip(readings[0], readings[1], strict=True)],
        "bare": [moved(*pair) for pair in zip(readings[1], readings[2], strict=True)],
    }


def moved(before: Bytes | str, after: Bytes | str) -> Bytes | str:
    if isinstance(before, str) or isinstance(after, str):
        return before if isinstance(before, str) else str(after)
    return {name: after[name] - before[name] for name in after}


def recorded(team: Team, way: str, rank: int) -> dict[str, Any]:
    """What the GPUs copied and ran for some requests of one way to one reader."""
    groups = [frozenset({rank})]
    team.stream(way, groups, LOAD, 0, RECORDED)  # so that everything that happens once has happened
    team.do([None, rank], "trace", START)
    team.stream(way, groups, LOAD, 0, RECORDED)
    publisher, reader = team.do([None, rank], "traced", START)
    row = {"way": way, "gpu": team.readers[rank], "requests": RECORDED, "payload_bytes": RECORDED * bytes_of(LOAD[0])}
    return row | {"publisher": publisher, "reader": reader}


def show_counted(say: Say, counted: Mapping[str, Any]) -> None:
    payload = counted["payload_bytes"]
    say(
        f"\nData over NVLinks for {payload:,} bytes of payload from GPU 0 to GPU {counted['gpus'][1]}, as a multiple of them"
    )
    for name in ("in_place", "bare"):
        for gpu, found in zip(counted["gpus"], counted[name], strict=True):
            text = (
                found if isinstance(found, str) else ", ".join(f"{key} {n / payload:.4f}" for key, n in found.items())
            )
            say(f"{name.replace('_', ' '):10s} GPU {gpu}: {text}")


def show_recorded(say: Say, row: Mapping[str, Any]) -> None:
    say(
        f"\n{row['way']}, {row['requests']} requests of {row['payload_bytes'] // row['requests']:,} bytes to GPU {row['gpu']}"
    )
    for side in ("publisher", "reader"):
        events: Sequence[Mapping[str, Any]] = row[side]
        copied = sum(event["count"] * event["bytes"] for event in events if event["what"] == "gpu_memcpy")
        say(f"  {side}: copies {copied / row['payload_bytes']:.4f} times the payloads" + (":" if events else ""))
        for event in events:
            say(f"    {event['count']:4d} x {event['bytes']:,} bytes  {event['what']}: {event['name'][:90]}")
