"""The site: one page, and a folder beside it with its scripts and the files that it shows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plumbline import page
from plumbline.dashboard import conformance, kills
from plumbline.dashboard.charts import cards, data
from plumbline.dashboard.overview import overview
from plumbline.dashboard.parts import commit, heads, raw, table
from plumbline.dashboard.series import Series, gather
from plumbline.dashboard.units import counted, day
from plumbline.markup import Html, tag
from plumbline.speed.history import History, read_all
from plumbline.speed.record import Record

HERE = Path(__file__).parent
UPLOT = HERE / "vendor" / "uplot"
PAGES = {"index.html": "Conformance run", "roofline.html": "Roofline"}
"""Pages that others write into the same folder; linked if they are there."""


@dataclass
class Sources:
    """What is shown. copied: each file that the page links to, by the name of its copy. unread: what is no such file, and why."""

    history: History
    columns: list[conformance.Column] = field(default_factory=list)
    kills: kills.Kills | None = None
    copied: dict[str, Path] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def collect(folder: Path, reports: Sequence[Path], mutants: Path | None) -> Sources:
    """folder: of the history; it may be missing. Files that cannot be read are named, and hide no others."""
    found = Sources(read_all(folder) if folder.is_dir() else History((), ()))
    found.unread += [f"{other.name}: {other.error}" for other in found.history.errors]
    found.copied |= {r.name: folder / r.name for r in found.history.records}
    columns: list[conformance.Column] = []
    for path in reports:
        try:
            columns += conformance.read(path, _copy(path, found.copied))
        except conformance.ReportUnreadable as error:
            found.unread.append(str(error))
    found.columns = conformance.newest(columns)
    shown = {column.file for column in found.columns}
    found.copied = {name: path for name, path in found.copied.items() if path not in reports or name in shown}
    if mutants is not None:
        try:
            found.kills = kills.read(mutants, _copy(mutants, found.copied))
        except kills.MutantsUnreadable as error:
            found.unread.append(str(error))
    return found


def _copy(path: Path, taken: dict[str, Path]) -> str:
    """Takes a name for the copy: the file's own, with as many folders before it as tell it from others."""
    names = ("-".join(path.absolute().parts[-depth:]) for depth in range(1, len(path.absolute().parts)))
    name = next(n for n in names if taken.get(n, path) == path)
    taken[name] = path
    return name


def write(sources: Sources, report: Path) -> Path:
    """Writes report/dashboard.html and report/dashboard/, whose former content goes. Returns the page."""
    series, records = gather(sources.history.records), sources.history.records
    folder = report / "dashboard"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "raw").mkdir(parents=True)
    for path in (HERE / "dashboard.js", UPLOT / "uPlot.iife.min.js", UPLOT / "uPlot.min.css", UPLOT / "LICENSE"):
        name = f"uPlot.{path.name}" if path.name == "LICENSE" else path.name
        shutil.copyfile(path, folder / name)
    for name, path in sources.copied.items():
        shutil.copyfile(path, folder / "raw" / name)
    (folder / "data.js").write_text(data(series, records), encoding="utf-8")
    shown = report / "dashboard.html"
    others = {name: words for name, words in PAGES.items() if (report / name).is_file()}
    shown.write_text(render(sources, series, others), encoding="utf-8")
    return shown


def render(sources: Sources, series: Sequence[Series], others: dict[str, str]) -> Html:
    """The page. others: files beside it, and what to call them."""
    style = "".join(path.read_text(encoding="utf-8") for path in (page.STYLE, HERE / "dashboard.css"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "Plumbline dashboard"),
        tag("link", rel="stylesheet", href="dashboard/uPlot.min.css"),
        tag("style", Html(style)),
        *(
            tag("script", src=f"dashboard/{name}", defer=True)
            for name in ("uPlot.iife.min.js", "data.js", "dashboard.js")
        ),
    )
    links = {
        "#speed": "Speed",
        "#charts": "Charts" if any(s.drawn for s in series) else None,
        "#conformance": "Conformance",
    }
    links |= {"#kills": "Kill matrix", "#files": "Files"} | others
    nav = tag(
        "nav", *(tag("a", words, href=at) for at, words in links.items() if words), aria_label="Parts of this page"
    )
    records = sources.history.records
    main = [_unread(sources.unread), overview(series, records), cards(series)]
    main += [conformance.matrix(sources.columns), kills.matrix(sources.kills), _files(sources)]
    header = tag("header", tag("h1", "Plumbline dashboard"))
    body = tag("body", header, nav, tag("main", *main), class_="dashboard")
    return Html("<!doctype html>\n" + tag("html", head, body, lang="en") + "\n")


def _unread(unread: Sequence[str]) -> Html:
    if not unread:
        return Html()
    said = f"✗ {counted(len(unread), 'file')} could not be read"
    return tag("div", tag("p", said), tag("ul", *(tag("li", u) for u in unread)), class_="banner failed unread")


def _files(sources: Sources) -> Html:
    """Every record, newest first, and what else the history holds."""
    rows = [_record(r) for r in reversed(sources.history.records)]
    shown = table(heads("Commit", "Date", "Measured", "On", "File"), rows, "Records of speed")
    others = [tag("li", tag("code", o.name), f" {o.kind}") for o in sources.history.others if not o.error]
    parts = [tag("h2", "Files")]
    if rows:
        words = tag("summary", f"All {len(rows)} records of speed")
        parts.append(tag("details", words, tag("div", shown, class_="scroll")))
    if others:
        parts.append(tag("details", tag("summary", f"{len(others)} other files of the history"), tag("ul", *others)))
    licence = tag("a", "uPlot", href="dashboard/uPlot.LICENSE")
    script = tag("a", "data.js", href="dashboard/data.js")
    parts.append(tag("p", "Charts are drawn by ", licence, " (MIT) from ", script, ".", class_="note"))
    return tag("section", *parts, id="files")


def _record(record: Record) -> Html:
    machines = sorted({m.key.hardware for m in record.measurements})
    return tag(
        "tr",
        tag("th", commit(record), scope="row"),
        tag("td", day(record.when)),
        tag("td", f"{len(record.measurements)}" + (f", {len(record.withheld)} withheld" if record.withheld else "")),
        tag("td", "; ".join(machines)),
        tag("td", raw(record.name, record.name)),
    )
