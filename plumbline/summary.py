"""A report as Markdown: a comment on a pull request, or the summary of a job.

Whatever an implementation can choose (names, messages, reasons, commands) is shown as code: see ``plumbline.markdown``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from plumbline.consequences import before, in_order, in_words, where_to_begin
from plumbline.markdown import block, clipped, code, escaped, folded, size

Part = dict[str, Any]

LIMIT = 65_000
"""In UTF-16 units. GitHub takes comments of 65,536; the rest is for whoever puts a line of his own above."""

MESSAGE = 2000
"""Characters of a message; the report has all of it."""

COMMAND = 4000
"""A longer command is left to the report: half of one is of no use."""

MOST = 4
"""Implementations, and lines about photos, that are shown; a run has two implementations at most."""

LEFT_OUT = 800
"""Room for the sentence on what was left out."""


def summarize(report: Part) -> str:
    """The verdict first, then counts, failures and deviations while there is room, and what it was run with. report: valid."""
    head = "\n".join([f"## Plumbline: {report['verdict'].upper()}", "", *_verdicts(report)])
    tail = _run(report)
    room = LIMIT - size(head) - size(tail) - LEFT_OUT
    shown: list[str] = []
    left: list[str] = []
    for name, part in _parts(report):
        needed = size(part) + len("\n\n")
        if needed <= room:
            shown.append(part)
            room -= needed
        else:
            left.append(name)
    return "\n\n".join([head, *shown, *_left_out(left), tail]) + "\n"


def nothing_said(why: str) -> str:
    """What stands in the place of a summary, if a run ends without a verdict. why: any text."""
    head = "## Plumbline: NOTHING COULD BE SAID"
    meaning = "Exit status 2: neither that a requirement holds nor that one fails."
    return f"{head}\n\n{block(clipped(why, MESSAGE))}\n\n{meaning}\n"


def in_numbers(implementation: Part) -> str:
    """How many of its requirements have each status."""
    n = Counter(outcome["status"] for outcome in implementation["requirements"])
    rest = [f"{n[s]} {s.replace('-', ' ')}" for s in ("failed", "deviation", "not-claimed", "not-run") if n[s]]
    return ", ".join([f"{n['held']} of {n.total()} requirements held", *rest])


def _verdicts(report: Part) -> Iterator[str]:
    implementations = report["implementations"]
    for each in implementations[:MOST]:
        yield f"- **{each['verdict'].upper()}** {code(_name(each))}: {in_numbers(each)}"
        failed = any(o["status"] == "failed" for o in each["requirements"])
        if each["verdict"] == "fails" and not failed:
            yield f"- {code(_name(each))} fails because nothing judged what it must or claims to do: see *not run*"
    if len(implementations) > MOST:
        yield f"- and {len(implementations) - MOST} more implementations, in the report"
    photos = report["photos"]
    if photos and not photos["identical"]:
        yield f"- **FAILS** on photos: {code(photos['difference'], 400)}"
    wrong = [tower for tower in photos.get("towers", []) if tower["wrong"]] if photos else []
    for tower in wrong[:MOST]:
        through = f"{tower['family']} of {tower['implementation']}"
        yield f"- **FAILS** on photos through {code(through)}: {code('; '.join(tower['wrong']))}"
    if not photos:
        yield "- without photos"


def _name(implementation: Part) -> str:
    return clipped(f"{implementation['name']} {implementation['version']}".strip(), 120)


def _parts(report: Part) -> Iterator[tuple[str, str]]:
    """What may be left out, the most useful first, each with what it is called when it is."""
    implementations = report["implementations"][:MOST]
    yield "the table of sections", _table(implementations)
    requirements = {r["id"]: r for r in report["requirements"]}
    for each in implementations:
        failed = in_order(each["requirements"])
        if said := where_to_begin(failed):
            yield "where to begin", escaped(clipped(" ".join(said), 1500))
        for outcome in failed:
            yield outcome["id"], _failed(outcome, requirements[outcome["id"]], _name(each))
    for each in implementations:
        for outcome in each["requirements"]:
            if outcome["status"] == "deviation":
                yield f"deviation {outcome['id']}", _deviation(outcome, _name(each))


def _table(implementations: list[Part]) -> str:
    """Sections down, implementations across."""
    rows = [["MUSTs: held / claimed / all", *(code(_name(i)) for i in implementations)]]
    rows.append(["---"] * len(rows[0]))
    for name in dict.fromkeys(s["section"] for i in implementations for s in i["sections"]):
        rows.append([escaped(clipped(name, 80)), *(_counts(i, name) for i in implementations)])
    rows.append(["**all**", *(_counts(i, None) for i in implementations)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _counts(implementation: Part, section: str | None) -> str:
    mine = [s for s in implementation["sections"] if section is None or s["section"] == section]
    n = {key: sum(s[key] for s in mine) for key in ("held", "claimed", "all", "failed", "not_run")}
    said = [f"{n['held']} / {n['claimed']} / {n['all']}"]
    said += [f"**{n['failed']} failed**"] if n["failed"] else []
    said += [f"{n['not_run']} not run"] if n["not_run"] else []
    return ", ".join(said)


def _failed(outcome: Part, requirement: Part, name: str) -> str:
    failure, more = outcome["failures"][0], len(outcome["failures"]) - 1
    parts = [f"### {outcome['id']} ({outcome['level']}) {code(name)}", escaped(requirement["text"])]
    if failure["kind"] == "test":
        parts.append(f"The test: {code(in_words(failure['test']))}")
    parts.append(_long(failure["message"]))
    said = []
    if earlier := before(outcome["id"], failure):
        said.append(f"- before that, in the same run, broke {code(', '.join(earlier))}")
    if failure["without"]:
        said.append(f"- goes away with: {code('; '.join(failure['without']), 600)}")
    if more:
        said.append(f"- and {more} more in the report")
    parts += ["\n".join(said)] if said else []
    parts.append(_command(failure["replay"]))
    return "\n\n".join(parts)


def _command(text: str) -> str:
    shown = block(text)
    return shown if len(shown) <= COMMAND else "The command that repeats it is too long for here: it is in the report."


def _long(message: str) -> str:
    """A message, folded behind its first line if it has many."""
    text = clipped(message, MESSAGE)
    first, *others = text.split("\n")
    if len(others) < 4 and len(text) <= 500:
        return block(text)
    return folded(code(first, 160), block(text))


def _deviation(outcome: Part, name: str) -> str:
    said = outcome["deviation"]
    details = [code(said[key], 600) for key in ("kind", "reason", "link") if said[key]]
    return f"- declared deviation of {code(name)} from {outcome['id']}: {', '.join(details)}"


def _left_out(names: list[str]) -> list[str]:
    if not names:
        return []
    listed = clipped(", ".join(names), 300)
    where = "`index.html` and `conformance.json` of the report have everything."
    return [f"**Left out here**, for the length that a comment may have: {len(names)} parts ({listed}). {where}"]


def _run(report: Part) -> str:
    """What the verdict depends on, and what repeats it."""
    run, suite, machine = report["run"], report["suite"], report["environment"]
    lines = [
        f"- profile {code(run['profile'])}, seed {run['seed']}, {run['seconds']:.0f} s, begun {code(run['started'])}",
        f"- Plumbline {code(suite['version'])}, commit {code(suite['commit'] or 'unknown')}",
        f"- Python {code(machine['python'])}, torch {code(machine['torch'])}, {code(machine['platform'])}",
        f"- {code(machine['cpu'])}, {machine['cores']} cores, GPU: {code(machine['gpu'] or 'none')}",
    ]
    lines += [f"- {code(each['name'])}: {work}" for each, work in _workloads(report)]
    lines += ["", _command(run["command"])]
    return folded(f"seed {run['seed']}, profile {code(run['profile'])}, {run['seconds']:.0f} s", "\n".join(lines))


def _workloads(report: Part) -> Iterator[tuple[Part, str]]:
    for each in report["implementations"][:MOST]:
        work = each["workloads"]
        yield each, f"{work['cases']:,} generated cases in {work['seconds']:.1f} s"
