"""The report in a terminal: readable at 80 columns and without colour; ids, messages and commands always whole."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plumbline.consequences import before, case_key, first_shown, in_order, in_words, where_to_begin
from plumbline.summary import in_numbers

Part = dict[str, Any]

_COLUMNS = {"held": 4, "claimed": 7, "all": 3, "failed": 6, "not_run": 3}
"""What each section counts, and how wide it is."""

_GROUP = sum(_COLUMNS.values()) + len(_COLUMNS) - 1
_GAP = 2
_SECTION = 22
"""Columns that a section's name gets at least; with this two groups fit into 80."""


def print_scorecard(report: Part, console: Console) -> None:
    """Counts by section, every failure with its replay command, and the verdict. report: valid."""
    for table in _tables(report["implementations"], console.width):
        console.print(table)
        console.print()
    requirements = {requirement["id"]: requirement for requirement in report["requirements"]}
    for implementation in report["implementations"]:
        failed = in_order(implementation["requirements"])
        shown = first_shown(failed)
        for outcome in failed:
            _print_failed(outcome, implementation["name"], requirements[outcome["id"]], shown, console)
        if said := where_to_begin(failed):
            _indented(" ".join(said), console, "bold", 0)
            console.print()
    for implementation in report["implementations"]:
        for line in _remarks(implementation):
            console.print(Text(line, overflow="fold"))
    if report["photos"]:
        console.print(_photos(report["photos"]))
        for found in report["photos"].get("processes", []):
            console.print(Text(_processes(found), style="" if found["identical"] else "red", overflow="fold"))
        for found in report["photos"].get("towers", []):
            console.print(Text(_tower(found), style="red" if found["wrong"] else "", overflow="fold"))
    console.print()
    for implementation in report["implementations"]:
        console.print(_verdict(implementation))


def _tables(implementations: list[Part], width: int) -> Iterator[Table]:
    """One column group for each implementation; groups that do not fit go into another table below."""
    names = list(dict.fromkeys(s["section"] for i in implementations for s in i["sections"]))
    fitting = max(1, (width - _SECTION) // (_GROUP + _GAP))
    for first in range(0, len(implementations), fitting):
        shown = implementations[first : first + fitting]
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("MUSTs of section", vertical="bottom", overflow="fold")
        for implementation in shown:
            table.add_column(_group_header(implementation), no_wrap=True, vertical="bottom", min_width=_GROUP)
        for name in names:
            table.add_row(name, *(_group(i, name) for i in shown))
        table.add_row(Text("all", style="bold"), *(_group(i, None) for i in shown))
        yield table


def _group_header(implementation: Part) -> Text:
    name = textwrap.wrap(f"{implementation['name']} {implementation['version']}".strip(), _GROUP)
    words = {"held": "held", "claimed": "claimed", "all": "all", "failed": "failed", "not_run": "run"}
    above = " ".join(("not" if key == "not_run" else "").rjust(width) for key, width in _COLUMNS.items())
    return Text("\n".join([*name, above, " ".join(words[key].rjust(width) for key, width in _COLUMNS.items())]))


def _group(implementation: Part, section: str | None) -> Text:
    chosen = [s for s in implementation["sections"] if section is None or s["section"] == section]
    line = Text(style="bold" if section is None else "")
    for key, width in _COLUMNS.items():
        count = sum(s[key] for s in chosen)
        shown = str(count) if count or key not in ("failed", "not_run") else "-"
        style = "bold red" if key == "failed" and count else "yellow" if key == "not_run" and count else ""
        line.append(" " if line.plain else "").append(shown.rjust(width), style)
    return line


def _print_failed(outcome: Part, name: str, requirement: Part, shown: Mapping[str, str], console: Console) -> None:
    """The first of its failures: the others are on the page."""
    console.print(
        Text.assemble(("FAILED ", "bold red"), (outcome["id"], "bold"), f" ({outcome['level']}) {name}"), soft_wrap=True
    )
    _indented(requirement["text"], console)
    _indented(f"why: {requirement['why']}", console, "dim")
    failure, more = outcome["failures"][0], len(outcome["failures"]) - 1
    if failure["kind"] == "test":
        _indented(f"the test: {in_words(failure['test'])}", console)
    _indented(failure["message"], console, "red")
    if failure["where"]:
        _indented("at " + " -> ".join(failure["where"]), console)
    if earlier := before(outcome["id"], failure):
        _indented(f"before that, in the same run, broke {', '.join(earlier)}", console)
    if failure["without"]:
        _indented("goes away with: " + "; ".join(failure["without"]), console)
    first = shown.get(case_key(failure) or "", outcome["id"])
    if first != outcome["id"]:
        _indented(f"the case is that of {first}", console)
    if more:
        _indented(f"and {more} more on the page", console)
    _indented("replay:", console)
    # Unindented and unwrapped, so that it can be copied however narrow the terminal is.
    console.print(Text(failure["replay"], style="bold"), soft_wrap=True)
    console.print()


def _indented(text: str, console: Console, style: str = "", by: int = 2) -> None:
    for line in text.splitlines():
        wrapped = textwrap.wrap(line, console.width - by, break_long_words=False, break_on_hyphens=False)
        console.print(Text(textwrap.indent("\n".join(wrapped), " " * by), style=style), soft_wrap=True)


def _remarks(implementation: Part) -> Iterator[str]:
    name, work = implementation["name"], implementation["workloads"]
    if implementation["filled"]:
        yield f"{name}: filled in from the reference: {', '.join(implementation['filled'])}"
    if "lazy" in implementation["capabilities"]:
        yield f"{name}: keeps of a lazy payload, for a retracted request: {implementation['retention']}"
    for outcome in implementation["requirements"]:
        if outcome["status"] == "deviation":
            said = outcome["deviation"]
            kind = f" ({said['kind']})" if said["kind"] else ""
            yield f"{name}: deviation {outcome['id']}{kind}: {said['reason']}" + (
                f" ({said['link']})" if said["link"] else ""
            )
    below = [f"{n} {100 * work['reach'].get(n, 0):.3g} % < {100 * f:.3g} %" for n, f in work["floors"].items()
             if work["reach"].get(n, 0) < f]  # fmt: skip
    if below:
        yield f"{name}: reached too rarely: {', '.join(below)}"
    yield f"{name}: {work['cases']:,} generated cases in {work['seconds']:.1f} s"


def _photos(photos: Part) -> Text:
    start = f"photos: {len(photos['images'])} images in {len(photos['requests'])} requests: "
    if photos["identical"]:
        return Text(f"{start}every embedding bit-identical")
    return Text.assemble(start, (f"first difference: {photos['difference']}", "red"), overflow="fold")


def _processes(found: Part) -> str:
    same = "bit-identical" if found["identical"] else "embeddings differ"
    return (
        f"photos through {found['implementation']} in {found['workers'] + found['ranks']} processes: "
        f"{found['requests']} requests, {found['payload_bytes']:,} bytes, {found['pooled_payloads']} payloads in the pool "
        f"and {found['message_payloads']} in messages: {same}"
    )


def _tower(found: Part) -> str:
    start = f"photos through {found['family']} of {found['implementation']}: "
    if found["wrong"]:
        return start + "; ".join(found["wrong"])
    same = "same bits alone and together" if found["identical"] else "not certified, so no bits are claimed"
    most = max(max(distance["rms_share"], distance["largest_share"]) for distance in found["distances"])
    return f"{start}{same}; within {most:.2f} of the bound"


def _verdict(implementation: Part) -> Text:
    words, style = ("CONFORMS", "bold green") if implementation["verdict"] == "conforms" else ("FAILS", "bold red")
    return Text.assemble((words, style), f" {implementation['name']}: {in_numbers(implementation)}")
