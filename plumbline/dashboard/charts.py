"""A card for each series: its chart, which the script draws, its levels and its last runs as tables, and the raw files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from plumbline.dashboard.overview import moved, verdict
from plumbline.dashboard.parts import commit, heads, identity, machine, ratio, raw, table
from plumbline.dashboard.series import Series
from plumbline.dashboard.sparkline import sparkline
from plumbline.dashboard.units import counted, day, digits, duration
from plumbline.markup import Html, tag
from plumbline.speed.record import Record
from plumbline.speed.steps import Level

LAST = 5
"""Runs in a card's table; the raw files have all."""


def cards(series: Sequence[Series]) -> Html:
    """series: all; those of one run have no chart."""
    drawn = [s for s in series if s.drawn]
    if not drawn:
        return Html()
    shown = tag("label", tag("input", type="radio", name="show", value="", checked=True), " time")
    ratios = tag("label", tag("input", type="radio", name="show", value="ratio"), " ratio over baseline")
    switch = tag("form", shown, ratios, class_="switch", aria_label="What charts show", hidden=True)
    note = tag(
        "p",
        "Band: where 95 % of a level's runs are. Line and bars: medians and quartiles, or ratios and their 95 % intervals. "
        "Dashes upwards: a change of level; across: the ceiling, or the baseline. Point at a run, or step through them with ← "
        "and →, to read its commit; drag to look closer, double-click to see all.",
        class_="note",
    )
    return tag(
        "section", tag("h2", "Charts"), switch, note, tag("div", *map(_card, drawn), class_="charts"), id="charts"
    )


def _card(s: Series) -> Html:
    key, last = s.key, s.last
    said = f"{key.benchmark} of {key.implementation}, {counted(len(s.points), 'run')}, now {duration(last.median)}"
    chart = tag(
        "div", sparkline(s, 560, 190), class_="chart", data_series=s.id, tabindex="0", role="img", aria_label=said
    )
    facts = [tag("span", tag("b", duration(last.median)), " now")]
    facts += [tag("span", moved(s.step.factor), " last change")] if s.step else []
    facts += [tag("span", ratio(last))] if last.ratio else []
    if last.ceiling and s.of_ceiling:
        facts.append(tag("span", tag("b", f"{digits(s.of_ceiling)}×"), f" {last.ceiling.of}"))
    counts = [tag("span", f"{name} ", tag("b", f"{count:,}")) for name, count in last.counters.items()]
    more = tag("details", tag("summary", "Levels and last runs"), _levels(s), _last(s), class_="tables")
    return tag(
        "article",
        tag("h3", key.benchmark, " ", verdict(s)),
        tag("p", f"{key.implementation or 'no implementation named'} · {machine(s)}", class_="note"),
        tag("p", *facts, *counts, class_="facts"),
        chart,
        tag("p", "", class_="readout", aria_live="polite"),
        more,
        class_="card series",
        id=s.id,
        **identity(s),
    )


def _levels(s: Series) -> Html:
    rows = []
    for number, level in enumerate(s.levels):
        first = s.points[level.start]
        before = s.levels[number - 1] if number else None
        rows.append(
            tag(
                "tr",
                tag("th", commit(first), f" {day(first.when)}", scope="row"),
                tag("td", str(level.stop - level.start)),
                tag("td", duration(level.middle)),
                tag("td", f"{duration(level.low)} to {duration(level.high)}"),
                tag("td", moved(level.middle / before.middle) if before else "–"),
            )
        )
    shown = table(heads("Level since", "Runs", "Median", "Noise", "Change"), rows, f"Levels of {s.key.benchmark}")
    return tag("div", shown, class_="scroll")


def _last(s: Series) -> Html:
    rows = []
    for point in reversed(s.points[-LAST:]):
        rows.append(
            tag(
                "tr",
                tag("th", commit(point), scope="row"),
                tag("td", day(point.when)),
                tag("td", duration(point.median)),
                tag("td", f"{duration(point.low)} to {duration(point.high)}"),
                tag("td", ratio(point, named=False)),
                tag("td", raw(point.record)),
            )
        )
    head = heads("Commit", "Date", "Median", "Quartiles", "Ratio", "File")
    return tag("div", table(head, rows, f"Last runs of {s.key.benchmark}"), class_="scroll")


# ------------------------------------------------------------------------------------------- what the script draws


def data(series: Sequence[Series], records: Sequence[Record]) -> str:
    """A script that says, for each card, its points and levels. Opened from a file a page may load scripts, and nothing else.

    runs: name, commit and time of each record. Of a series: at, the numbers of its runs; medians and quartiles in seconds;
    ratios as middle, low, high; levels as start, stop, middle, low, high, where start and stop count its points.
    """
    number = {record.name: k for k, record in enumerate(records)}
    found = {
        "runs": [[r.name, r.commit, r.when] for r in records],
        "series": {s.id: _numbers(s, number) for s in series if s.drawn},
    }
    text = json.dumps(found, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"window.PLUMBLINE = {text};\n"


def _numbers(s: Series, number: dict[str, int]) -> dict[str, Any]:
    ratios = [p.ratio for p in s.points]
    having = [k for k, r in enumerate(ratios) if r]
    last = s.last
    return {
        "at": [number[p.record] for p in s.points],
        "median": [_short(p.median) for p in s.points],
        "low": [_short(p.low) for p in s.points],
        "high": [_short(p.high) for p in s.points],
        "levels": [_level(v, list(range(len(s.points)))) for v in s.levels],
        "ratio": [[_short(r.middle), _short(r.low), _short(r.high)] if r else None for r in ratios],
        "ratioLevels": [_level(v, having) for v in s.ratio_levels],
        "ceiling": [_short(last.ceiling.seconds), last.ceiling.of] if last.ceiling else None,
        "baseline": last.baseline,
    }


def _level(level: Level, points: Sequence[int]) -> list[float]:
    ends = [points[level.start], points[level.stop - 1] + 1]
    return [*ends, _short(level.middle), _short(level.low), _short(level.high)]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
