"""Requirements by implementations, of reports by several runs and versions of the suite."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plumbline.dashboard.parts import filters, grouped, heads, raw, table
from plumbline.dashboard.units import day
from plumbline.markup import Html, join, tag
from plumbline.page import STATUSES

KNOWN = STATUSES | {"absent": ("·", "not in its suite")}
"""absent: the report is of a suite that did not have the requirement yet."""


class ReportUnreadable(ValueError):
    """A file that is no conformance report. The message names it."""


@dataclass(frozen=True)
class Column:
    """One implementation in one report. file: the name of the report's copy. outcomes: by requirement.
    declared: by requirement, what is known of its failure since the report was written."""

    name: str
    version: str
    replaced: tuple[str, ...]
    commit: str
    started: str
    profile: str
    file: str
    requirements: Mapping[str, Mapping[str, Any]]
    outcomes: Mapping[str, Mapping[str, Any]]
    declared: Mapping[str, str] = field(default_factory=dict)

    def status(self, requirement: str) -> str:
        return str(self.outcomes[requirement]["status"]) if requirement in self.outcomes else "absent"


def read(path: Path, name: str) -> list[Column]:
    """The implementations of a report, of any schema so far. name: of its copy. Raises ReportUnreadable."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        requirements = {
            r["id"]: {"text": r["text"], "why": r["why"], "section": r["section"]} for r in report["requirements"]
        }
        deviations = path.with_name("deviations.toml")
        entries = tomllib.loads(deviations.read_text(encoding="utf-8"))["deviation"] if deviations.is_file() else []
        declared = {e["requirement"]: f"{e['kind']}: {e['reason']}" for e in entries}
        return [
            Column(
                name=str(i["name"]),
                version=str(i["version"]),
                replaced=tuple(i["replaced"]),
                commit=report["suite"]["commit"] or "",
                started=report["run"]["started"],
                profile=report["run"]["profile"],
                file=name,
                requirements=requirements,
                outcomes={o["id"]: {"status": _known(o["status"]), "said": _said(o)} for o in i["requirements"]},
                declared=declared,
            )
            for i in report["implementations"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportUnreadable(f"{path}: no conformance report ({type(error).__name__}: {error})") from error


def _known(status: str) -> str:
    if status not in STATUSES:
        raise ValueError(f"status {status!r}")
    return status


def _said(outcome: Mapping[str, Any]) -> str:
    """Of a failure or a deviation, in one line."""
    if outcome["deviation"]:
        return f"declared: {outcome['deviation']['reason']}"
    return str(outcome["failures"][0]["message"]) if outcome["failures"] else ""


def newest(columns: Sequence[Column]) -> list[Column]:
    """Of each implementation and version the newest, in the order in which they were first given."""
    found: dict[tuple[str, str, tuple[str, ...]], Column] = {}
    for column in columns:
        key = (column.name, column.version, column.replaced)
        if key not in found or found[key].started < column.started:
            found[key] = column
    return list(found.values())


def matrix(columns: Sequence[Column]) -> Html:
    if not columns:
        said = "No conformance report yet. nox -s conformance writes report/conformance.json, which is shown here."
        return tag("section", tag("h2", "Conformance"), tag("p", said, class_="note"), id="conformance")
    requirements = _requirements(columns)
    sections = list(dict.fromkeys(r["section"] for r in requirements.values()))
    statuses = [s for s in KNOWN if any(c.status(r) == s for c in columns for r in requirements)]
    differ = ["differ"] if len(columns) > 1 else []
    choices = {"section": ("Section", sections), "status": ("Any is", [*statuses, *differ])}
    head = [tag("th", "Requirement", scope="col"), *map(_head, columns)]
    bodies = [_section(section, requirements, columns) for section in sections]
    shown = grouped(head, bodies, "Requirements by implementations", class_="requirements")
    return tag(
        "section",
        tag("h2", "Conformance ", tag("small", f"{len(requirements)} requirements, {len(columns)} implementations")),
        _counts(columns, requirements),
        filters("conformance", choices, "requirements"),
        shown,
        id="conformance",
    )


def _requirements(columns: Sequence[Column]) -> dict[str, Mapping[str, Any]]:
    """Of the newest suite, in its order; what only older ones have comes behind."""
    found: dict[str, Mapping[str, Any]] = {}
    for column in sorted(columns, key=lambda c: c.started, reverse=True):
        found = found | {name: r for name, r in column.requirements.items() if name not in found}
    return found


def _title(column: Column) -> Html:
    replaced = tag("small", f"with {', '.join(column.replaced)}") if column.replaced else Html()
    return join([tag("b", column.name), " ", tag("span", column.version, class_="version"), replaced])


def _head(column: Column) -> Html:
    said = f"suite {column.commit or 'unknown'}, {day(column.started)}, profile {column.profile}"
    return tag("th", _title(column), scope="col", title=said)


def _counts(columns: Sequence[Column], requirements: Mapping[str, Any]) -> Html:
    rows = []
    shown = [s for s in KNOWN if any(c.status(r) == s for c in columns for r in requirements)]
    for column in columns:
        n = Counter(column.status(r) for r in requirements)
        bar = (tag("i", class_=s, style=f"flex-grow:{n[s]}") for s in KNOWN if n[s])
        cells = [tag("td", str(n[s]), class_=s if n[s] else f"{s} zero") for s in shown]
        suite = f"{column.commit or 'unknown'}, {day(column.started)}, {column.profile}"
        rows.append(
            tag(
                "tr",
                tag("th", _title(column), tag("div", *bar, class_="share", aria_hidden="true"), scope="row"),
                *cells,
                tag("td", tag("small", suite)),
                tag("td", raw(column.file)),
            )
        )
    names = [f"{KNOWN[s][0]} {KNOWN[s][1]}" for s in shown]
    head = heads("Implementation", *names, "Suite", "Report")
    return tag("div", table(head, rows, "Outcomes of each implementation", class_="outcomes"), class_="scroll")


def _section(section: str, requirements: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]) -> Html:
    title = tag("tr", tag("th", section, scope="rowgroup", colspan=len(columns) + 1), class_="section")
    rows = [_row(name, r, columns) for name, r in requirements.items() if r["section"] == section]
    return tag("tbody", title, *rows)


def _row(name: str, requirement: Mapping[str, Any], columns: Sequence[Column]) -> Html:
    statuses = [c.status(name) for c in columns]
    said = [
        tag("li", tag("b", f"{c.name} {c.version}"), f" {KNOWN[s][1]}: {text}")
        for c, s in zip(columns, statuses, strict=True)
        if s in ("failed", "deviation") and (text := c.declared.get(name) or c.outcomes[name]["said"])
    ]
    text = tag("span", requirement["text"], class_="text")
    more = [tag("p", tag("b", "Why: "), requirement["why"]), tag("ul", *said) if said else Html()]
    body = tag("details", tag("summary", tag("code", name), text), tag("div", *more, class_="said"))
    asked = {s for s in statuses if s != "absent"}
    words = " ".join(dict.fromkeys([*statuses, *(["differ"] if len(asked) > 1 else [])]))
    return tag(
        "tr",
        tag("th", body, scope="row", title=requirement["text"]),
        *(_cell(c, s) for c, s in zip(columns, statuses, strict=True)),
        data_group="conformance",
        data_section=requirement["section"],
        data_status=words,
        data_find=f"{name} {requirement['text']} {requirement['section']}".lower(),
        id=name,
    )


def _cell(column: Column, status: str) -> Html:
    mark, words = KNOWN[status]
    shown = tag(
        "span", tag("b", mark, aria_hidden="true"), tag("span", f" {words}", class_="word"), class_=f"status {status}"
    )
    return tag("td", shown, title=f"{column.name} {column.version}: {words}")
