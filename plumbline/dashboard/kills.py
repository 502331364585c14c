"""Which requirement kills which mutant, and where the suite hangs on one requirement alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plumbline.dashboard.parts import filters, heads, raw, table
from plumbline.markup import Html, join, tag
from plumbline.page_parts import chips
from plumbline.requirements import ROOT

BUGS = ROOT / "mutants" / "bugs.toml"


class MutantsUnreadable(ValueError):
    """A file that is not of nox -s mutants. The message names it."""


@dataclass(frozen=True)
class Kills:
    """What nox -s mutants wrote. file: the name of its copy. whole: whether runs went on after the first acceptable kill;
    None where the file does not say."""

    file: str
    whole: bool | None
    mutants: Sequence[Mapping[str, Any]]
    without_mutant: Mapping[str, str]
    uncovered: Sequence[str]

    def killed_by(self, requirement: str) -> list[str]:
        return [m["mutant"] for m in self.mutants if requirement in m["killed_by"]]


def read(path: Path, name: str) -> Kills:
    """name: of its copy. Raises MutantsUnreadable."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        kept = ("mutant", "bug", "parent", "accept", "killed_by", "kind", "seconds_to_first_failure", "error", "killed")
        mutants = [{key: m[key] for key in kept} for m in data["mutants"]]
        return Kills(name, data.get("whole"), mutants, data["without_mutant"], data["uncovered"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MutantsUnreadable(f"{path}: not of nox -s mutants ({type(error).__name__}: {error})") from error


def matrix(kills: Kills | None) -> Html:
    title = tag("h2", "Kill matrix")
    if kills is None:
        said = "No kill matrix yet. nox -s mutants -- --whole writes report/mutants.json, which is shown here."
        return tag("section", title, tag("p", said, class_="note"), id="kills")
    alive = [m["mutant"] for m in kills.mutants if not m["killed"]]
    counts = [
        tag("b", f"{len(kills.mutants) - len(alive)} of {len(kills.mutants)} mutants"),
        " killed by an acceptable requirement. ",
    ]
    counts += [_whole(kills.whole), " ", raw(kills.file)]
    surviving = tag("p", f"✗ Not killed: {', '.join(alive)}", class_="banner failed") if alive else Html()
    return tag("section", title, tag("p", *counts), surviving, _requirements(kills), _mutants(kills), id="kills")


def _whole(whole: bool | None) -> str:
    if whole:
        return "Every run went on after the first kill, so the counts are complete."
    if whole is None:
        return "The file does not say whether runs went on after their first kill: counts may be too low."
    return "Runs ended at their first acceptable kill: counts are too low, and too many mutants seem to hang on one requirement."


def _requirements(kills: Kills) -> Html:
    """Single points of failure first: what alone kills most."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    names = {i for m in kills.mutants for i in m["killed_by"]} | set(kills.uncovered)
    for name in names:
        all_ = kills.killed_by(name)
        alone = [m["mutant"] for m in kills.mutants if list(m["killed_by"]) == [name]]
        found[name] = (alone, all_)
    rows = [
        tag(
            "tr",
            tag("th", tag("code", name), scope="row"),
            tag("td", str(len(alone)), class_="figure" if alone else "figure zero"),
            tag("td", str(len(all_)), class_="figure" if all_ else "figure none-at-all"),
            tag("td", tag("small", ", ".join(alone)) if alone else Html(), class_="names"),
            data_group="kills",
            data_find=f"{name} {' '.join(all_)}".lower(),
        )
        for name, (alone, all_) in sorted(found.items(), key=lambda f: (-len(f[1][0]), len(f[1][1]), f[0]))
    ]
    without = [tag("li", tag("code", name), f" {why}") for name, why in kills.without_mutant.items()]
    shown = table(heads("Requirement", "Alone", "Kills", "Only it kills"), rows, "Mutants that each requirement kills")
    parts = [tag("h3", "By requirement: single points of failure first"), filters("kills", {}, "rows")]
    parts.append(_pane(shown, "Mutants by requirement"))
    if without:
        parts.append(
            tag("details", tag("summary", f"{len(without)} that no mutant can break, and why"), tag("ul", *without))
        )
    return join(parts)


def _mutants(kills: Kills) -> Html:
    threads = tomllib.loads(BUGS.read_text(encoding="utf-8"))["threads"] if BUGS.is_file() else {}
    ordered = sorted(kills.mutants, key=lambda m: (m["bug"] == "", m["bug"], m["mutant"]))
    rows = [_mutant(m, threads) for m in ordered]
    head = heads("Bug", "Mutant", "Killed by", "First after")
    note = "Solid: requirements whose violation the bug is. Dashed: others that noticed."
    shown = _pane(table(head, rows, "Mutants and what killed them"), "Mutants by bug")
    return join([tag("h3", "By bug"), tag("p", note, class_="note"), shown])


def _pane(shown: Html, name: str) -> Html:
    """A long table that scrolls on its own, by keyboard too."""
    return tag("div", shown, class_="pane", tabindex="0", role="group", aria_label=name)


def _mutant(m: Mapping[str, Any], threads: Mapping[str, str]) -> Html:
    said = "; ".join(threads[b] for b in m["bug"].split(", ") if b in threads)
    bug = [tag("code", m["bug"] or "–"), tag("small", f" {said}")]
    wanted = [i for i in m["killed_by"] if i in m["accept"]]
    others = [i for i in m["killed_by"] if i not in m["accept"]]
    killers = [chips(wanted) if wanted else Html(), " ", chips(others, "off") if others else Html()]
    if not m["killed"]:
        killers.insert(0, tag("span", f"✗ {m['error'] or 'not killed'}", class_="status failed wrap"))
    first = m["seconds_to_first_failure"]
    return tag(
        "tr",
        tag("th", *bug, scope="row"),
        tag("td", tag("code", m["mutant"]), tag("small", f" {m['kind']}"), class_="names"),
        tag("td", *killers),
        tag("td", "–" if first is None else f"{first:.1f} s", class_="figure"),
        data_group="kills",
        data_find=f"{m['bug']} {said} {m['mutant']} {' '.join(m['killed_by'])}".lower(),
    )
