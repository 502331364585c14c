"""What needs somebody's eye, in words, and every series in one table, what changed most first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from plumbline.dashboard.parts import choices, commit, filters, identity, machine, ratio, raw, table
from plumbline.dashboard.series import Series, without_speed
from plumbline.dashboard.sparkline import sparkline
from plumbline.dashboard.units import change, counted, day, digits, duration
from plumbline.markup import Html, join, tag
from plumbline.page import STATUSES
from plumbline.speed.record import Record

SORTED = {
    "Series": "name",
    "Trend": None,
    "Now": "now",
    "Last change": "change",
    "Over baseline": "ratio",
    "Of ceiling": "ceiling",
    "Verdict": None,
}
"""Columns, and the data attribute that each can be sorted by."""
NAMED = 3
"""Series that the first sentences name; the others are in the table."""


def overview(series: Sequence[Series], records: Sequence[Record]) -> Html:
    if not records:
        said = "No record of speed yet. nox -s bench measures one; those in benchmarks/history are shown here."
        return tag("section", tag("h2", "Speed"), tag("p", said, class_="note"), id="speed")
    parts = [tag("h2", "Speed ", tag("small", f"{len(series)} series in {counted(len(records), 'record')}"))]
    parts += [_alarms(series, records), tag("ul", *_news(series, records), class_="news")]
    parts += [filters("series", choices(series), "series"), _table(series)] if series else []
    return tag("section", *parts, id="speed")


def _alarms(series: Sequence[Series], records: Sequence[Record]) -> Html:
    """What no noise excuses: exact counts that grew, latest first, and speeds that are withheld."""
    found = [(g.runs, s, g) for s in series if s.current for g in s.grown]
    grown = [
        tag(
            "p",
            tag("b", f"↑ {g.name} grew from {g.before:,} to {g.now:,}"),
            " in ",
            _link(s),
            f" of {s.key.implementation} on {s.key.hardware}, since ",
            commit(g.since),
            f" of {day(g.since.when)} ({counted(g.runs, 'run')}). An exact count: no noise explains it.",
            class_="banner failed",
        )
        for _, s, g in sorted(found, key=lambda f: (f[0], f[1].key, f[2].name))
    ]
    withheld = [
        tag(
            "p",
            tag("b", f"✗ {w.benchmark} of {w.implementation or 'all'}: no speed: {w.reason}"),
            f" ({day(record.when)}, ",
            raw(record.name, record.commit or record.name),
            ")",
            class_="banner failed",
        )
        for record, w in without_speed(records)
    ]
    return join([*grown, *withheld])


def _link(series: Series) -> Html:
    name = series.key.benchmark
    return tag("a", name, href=f"#{series.id}") if series.drawn else tag("b", name)


def _news(series: Sequence[Series], records: Sequence[Record]) -> list[Html]:
    """Which way levels moved last, and how new this is."""
    moved = [(s, s.step.factor) for s in series if s.current and s.step]
    slower = [(s, f) for s, f in moved if f > 1]
    faster = [(s, f) for s, f in moved if f <= 1]
    lines = [_moved("▲", "slower", slower)] if slower else []
    lines += [_moved("▼", "faster", faster)] if faster else []
    quiet = sum(s.current for s in series) - len(moved)
    lines.append(
        tag(
            "li",
            f"{quiet} series without a change of level; newest record ",
            commit(records[-1]),
            f" of {day(records[-1].when)}",
        )
    )
    return lines


def _moved(mark: str, word: str, found: Sequence[tuple[Series, float]]) -> Html:
    named = [join([_link(s), f" {change(f)}"]) for s, f in found[:NAMED]]
    rest = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    start = tag("b", f"{mark} {len(found)} {word}", class_=word)
    return tag("li", start, " at their last change: ", join(named, ", "), rest)


def _table(series: Sequence[Series]) -> Html:
    head = [tag("th", name, scope="col", data_sort=by) for name, by in SORTED.items()]
    caption = "Series, what changed most first"
    twins = Counter((s.key.benchmark, s.key.implementation, s.key.hardware) for s in series)
    rows = [_row(number, s, twins) for number, s in enumerate(series)]
    shown = table(head, rows, caption, class_="series-table", id="series-table")
    note = tag(
        "p",
        "Sorted by the last change of level, then by ratio; what is no longer measured comes last. Last change: the last level "
        "over the one before, where change points are found. Over baseline: time over that of what was measured in turns with "
        "it, with its 95 % interval; below 1 is faster. Of ceiling: how many times what the hardware allows.",
        class_="note",
    )
    return join([shown, note])


def _where(s: Series, twins: Counter[tuple[str, str, str]]) -> str:
    """Implementation and hardware; driver and torch where only they tell it from another series."""
    key = s.key
    alone = twins[key.benchmark, key.implementation, key.hardware] == 1
    return f"{key.implementation or 'no implementation named'} · {key.hardware if alone else machine(s)}"


def _row(number: int, s: Series, twins: Counter[tuple[str, str, str]]) -> Html:
    key, last, step = s.key, s.last, s.step
    name = tag(
        "th",
        _link(s),
        tag("small", _where(s, twins)),
        Html() if s.current else tag("small", f"last measured {day(s.last.when)}", class_="past"),
        scope="row",
    )
    sorting: dict[str, object] = {
        "data_order": number,
        "data_name": key.benchmark,
        "data_now": f"{last.median:.6g}",
        "data_change": f"{step.factor:.6g}" if step else None,
        "data_ratio": f"{last.ratio.middle:.6g}" if last.ratio else None,
        "data_ceiling": f"{s.of_ceiling:.6g}" if s.of_ceiling else None,
    }
    cells = [
        tag("td", _trend(s), class_="trend"),
        _cell("now", tag("b", duration(last.median))),
        _cell("last change", _change(s)),
        _cell("over baseline", ratio(last)),
        _cell("of ceiling", _ceiling(s)),
        tag("td", verdict(s), class_="mark"),
    ]
    return tag("tr", name, *cells, **identity(s), **sorting, class_=None if s.current else "old")


def _trend(s: Series) -> Html:
    if s.drawn:
        return sparkline(s, 150, 34)
    return tag("small", "1 run: ", raw(s.last.record, s.last.commit or "no commit"), f", {day(s.last.when)}")


def _cell(label: str, content: Html) -> Html:
    return tag("td", content, data_label=label)


def _change(s: Series) -> Html:
    if s.step is None:
        return tag("span", "none", class_="none")
    since, count = s.points[s.step.after.start], len(s.points) - s.step.after.start
    return join([moved(s.step.factor), tag("small", " since ", commit(since), f", {counted(count, 'run')}")])


def moved(factor: float) -> Html:
    """Slower or faster, by how much: symbol, figure and colour."""
    mark, word = ("▲", "slower") if factor > 1 else ("▼", "faster")
    return tag("b", f"{mark}\N{NO-BREAK SPACE}{change(factor)}", class_=word, title=word)


def _ceiling(s: Series) -> Html:
    if s.last.ceiling is None or s.of_ceiling is None:
        return tag("span", "–", class_="none", title="None is known")
    said = f" {duration(s.last.ceiling.seconds)}, {s.last.ceiling.of}"
    return join([tag("b", f"{digits(s.of_ceiling)}×"), tag("small", said)])


def verdict(s: Series) -> Html:
    """What the conformance suite said of the part that was measured."""
    if s.withheld:
        return tag("span", f"✗ no speed: {s.withheld}", class_="status failed wrap")
    if s.last.verdict not in STATUSES:
        return tag(
            "span", "○ not asked", class_="status not-run", title="Measured without a run of the conformance suite"
        )
    mark, word = STATUSES[s.last.verdict]
    return tag("span", f"{mark} {word}", class_=f"status {s.last.verdict}")
