"""Writes a file of deviations from a report: one entry for each requirement that failed, with its smallest case beside it.

What somebody wrote into the file before (kind, reason, link) stays; what is new says "not triaged", and what no longer fails
is gone. So a person looks at each entry once.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plumbline.deviations import KINDS

NEW = "not triaged"


def declare(entry: Mapping[str, Any], cases: Path, path: Path) -> int:
    """entry: one implementation of a report. cases: where its failing cases were saved. Returns the number of entries."""
    before = {e["requirement"]: e for e in _entries(path)}
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for outcome in entry["requirements"]:
        known = before.get(outcome["id"])
        if outcome["status"] == "deviation" and known is not None:
            written.append(known)
        elif outcome["status"] == "failed":
            known = known or {"requirement": outcome["id"], "kind": NEW, "reason": NEW, "link": ""}
            written.append(known | {"witness": _witness(outcome["failures"], cases, path.parent)})
    path.write_text("\n".join(_toml(e) for e in written))
    return len(written)


def table(path: Path) -> str:
    """A file of deviations as Markdown, by kind: what a person reads."""
    entries = _entries(path)
    lines = ["| requirement | what is seen | upstream | witness |", "|---|---|---|---|"]
    for kind in [*KINDS, NEW]:
        mine = [e for e in entries if e.get("kind", NEW) == kind]
        lines += [f"| **{kind}: {len(mine)}** | | | |"] if mine else []
        for e in mine:
            witness = (
                f"[case]({e['witness']})" if "::" not in e["witness"] else e["witness"].split("::")[1].split("[")[0]
            )
            upstream = f"[#{e['link'].rsplit('/', 1)[1]}]({e['link']})" if e["link"] else ""
            lines.append(f"| {e['requirement']} | {e['reason']} | {upstream} | {witness} |")
    return "\n".join(lines) + "\n"


def _entries(path: Path) -> list[dict[str, str]]:
    return list(tomllib.loads(path.read_text()).get("deviation", [])) if path.exists() else []


def _witness(failures: list[dict[str, Any]], cases: Path, folder: Path) -> str:
    """A saved case if there is one, since it replays alone; else the test."""
    shown = sorted((f for f in failures if f["scenario"]), key=lambda f: len(json.dumps(f["scenario"])))
    if not shown:
        return str(failures[0]["test"])
    name = Path(shlex.split(shown[0]["replay"])[-1]).name
    (folder / "cases").mkdir(exist_ok=True)
    shutil.copyfile(cases / name, folder / "cases" / name)
    return f"cases/{name}"


def _toml(entry: Mapping[str, str]) -> str:
    lines = [f"{key} = {json.dumps(entry[key], ensure_ascii=False)}" for key in _ORDER if key in entry]
    return "\n".join(["[[deviation]]", *lines, ""])


_ORDER = ("requirement", "kind", "reason", "link", "witness")
