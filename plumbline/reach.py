"""Which of the situations that kill bugs a case reached, and how often a session must reach each."""

from __future__ import annotations

from plumbline import closed_form
from plumbline.interface import Rows
from plumbline.trace import Trace

FLOORS = {
    "several spans": 0.05,
    "spans in another order": 0.01,
    "near-duplicates": 0.15,
    "equal items": 0.10,
    "cut inside an item": 0.15,
    "prefix hit": 0.03,
    "prefix hit inside an item": 0.003,
    "cache smaller than the items": 0.10,
    "several requests in a step": 0.20,
    "bundle": 0.05,
    "video": 0.05,
    "video of pooled frames": 0.005,
    "tiles": 0.10,
    "empty item": 0.001,
    "precomputed": 0.05,
    "strided payload": 0.10,
    "side rows": 0.10,
    "caller key": 0.05,
    "extras": 0.05,
    "lazy payload": 0.10,
    "by transport": 0.05,
    "fenced payload": 0.01,
    "malformed request": 0.10,
    "faulty item": 0.02,
    "payload that is gone": 0.01,
    "tower call that failed once": 0.02,
    "chunk sent again": 0.01,
    "settled after the next step began": 0.05,
    "retract after a chunk": 0.01,
    "retract inside an item": 0.005,
    "retract after the last chunk": 0.003,
    "a result that lasts beyond the next step": 0.04,
    "abort while running": 0.002,
    "epoch change": 0.02,
    "epoch change inside an item": 0.002,
    "epoch changed under a request": 0.001,
    "id used twice": 0.02,
    "bad chunk": 0.01,
    "mixed dtypes in a step": 0.01,
}
"""Least share of the cases of a full session; a session that stays below fails, since it proved too little."""


def reach_of(trace: Trace) -> set[str]:
    """Names of the situations in this case."""
    scenario = trace.scenario
    found = set(trace.reach)
    items = [i for r in scenario.requests for i in r.items]
    truths = [closed_form.truth(scenario.tower, i) for i in items]
    seeds = [i.content.seed for i in items]
    found |= (
        {"near-duplicates"}
        if any(seeds[a] == seeds[b] and truths[a] != truths[b] for a in range(len(items)) for b in range(a))
        else set()
    )
    found |= {"equal items"} if len(set(truths)) < len(truths) else set()
    rows = sum(closed_form.row_count(scenario.tower, i) for i in items)
    found |= {"cache smaller than the items"} if 0 < scenario.cache_rows < rows else set()
    found |= {"lazy payload"} if scenario.lazy and items else set()
    found |= {"id used twice"} if len({r.name for r in scenario.requests}) < len(scenario.requests) else set()
    found |= {"malformed request"} if any(s.broken for s in trace.submissions) else set()
    found |= (
        {"bundle"}
        if any(s.request.items and len(s.request.items) < len(s.recipe.items) for s in trace.submissions)
        else set()
    )
    for item in items:
        several = item.pieces > 1 and closed_form.row_count(scenario.tower, item) > 1
        found |= {
            name
            for name, here in {
                "several spans": several,
                "spans in another order": several and item.span_order != "ascending",
                "video": item.modality == "video",
                "video of pooled frames": bool(item.grid and item.grid[0] > 1) and scenario.tower.pools_frames,
                "tiles": not item.grid,
                "empty item": not sum(item.parts),
                "precomputed": item.source == "precomputed",
                "strided payload": item.strides != "contiguous",
                "side rows": bool(scenario.tower.side_levels),
                "caller key": bool(item.given),
                "extras": bool(item.extras),
                "fenced payload": item.fence and scenario.lazy,
                "payload that is gone": item.gone and scenario.lazy,
                "faulty item": item.fault,
            }.items()
            if here
        }
    hiccups = scenario.hiccups and any(call.failed for record in trace.steps for call in record.calls)
    found |= {"tower call that failed once"} if hiccups else set()
    for record in trace.steps:
        found |= {"several requests in a step"} if sum(isinstance(r, Rows) for r in record.results) > 1 else set()
        found |= {"bad chunk"} if any(s.fault for s in record.scheduled) else set()
        dtypes = {f[3] for call in record.calls for f in call.items}
        found |= {"mixed dtypes in a step"} if len(dtypes) > 1 else set()
    return found
