"""What the conformance suite says of the parts that are to be timed: a speed stands only beside a pass."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Container, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plumbline import report_folder
from plumbline.requirements import ROOT

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "identify": ("Identity and prefix keys",),
    "prepare": ("Items and spans", "Preparation"),
    "transport": ("Messages", "Pool and leases"),
    "encode": ("Devices and moves", "Encoding and batching"),
    "tower": ("Numerics", "Graphs"),
    "cache": ("Cache",),
    "embed": ("Cache", "Chunks and merge", "Encoding and batching", "Isolation and security", "Lifecycle", "Work done"),
    "merge": ("Chunks and merge",),
    "between processes": ("Messages", "Pool and leases"),
    "beside SGLang": ("Items and spans", "Identity and prefix keys", "Preparation", "Cache", "Chunks and merge"),
}
"""Sections of conformance.md that are about a part, which is what a benchmark's name begins with."""
SOURCES = ("adapters", "optimized", "plumbline", "reference", "tests")
KEPT = ("optimized", "reference")
"""Implementations whose verdict is kept: all that they are made of is among the sources. What another imports, nobody knows."""
Broken = dict[str, dict[str, list[str]]]
"""By implementation and part: the MUSTs that do not hold."""


class VerdictError(Exception):
    """The suite could say nothing."""


def judge(arguments: Sequence[str], cases: int, kept: Path) -> tuple[Broken, dict[str, dict[str, str]]]:
    """Broken MUSTs, and by implementation and part "held" or "deviation". Raises VerdictError.

    arguments: of the conformance session, that say whom, each one word. cases: generated workloads in each shard. kept: a folder
    where verdicts of our own implementations are kept until a source changes.
    """
    path = kept / f"verdict-{digest([*arguments, str(cases)])}.json"
    if not (is_ours(arguments) and path.is_file()):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "plumbline.conformance", "--quick", "--cases", str(cases)]
            status = subprocess.run([*command, *arguments, "--report", folder], cwd=ROOT).returncode
            report = Path(folder, "conformance.json")
            if status not in (0, 1) or not report.is_file():
                raise VerdictError("the conformance suite could say nothing, so that no speed can be shown; see above")
            report_folder.put(kept, {path.name: report.read_text(encoding="utf-8")})
    return read(json.loads(path.read_text(encoding="utf-8")))


def read(report: Any) -> tuple[Broken, dict[str, dict[str, str]]]:
    """Of a conformance report."""
    broken: Broken = {}
    verdicts: dict[str, dict[str, str]] = {}
    for entry in report["implementations"]:
        name = entry["name"]
        broken[name], verdicts[name] = {}, {}
        for part, sections in SECTIONS.items():
            mine = [r for r in entry["requirements"] if r["section"] in sections and r["level"] == "MUST"]
            if failed := [r["id"] for r in mine if r["status"] == "failed"]:
                broken[name][part] = failed
            said = {r["status"] for r in mine}
            verdicts[name][part] = next((word for word in ("deviation", "held") if word in said), "")
    return broken, verdicts


def judged_as(name: str, known: Container[str]) -> str:
    """The implementation that is judged where one of this name is timed: "optimized, in place" is a way of "optimized"."""
    return name if name in known else name.partition(",")[0]


def is_ours(arguments: Sequence[str]) -> bool:
    """Whether all that is judged is ours."""
    specs = [text.rpartition("=")[2] for text in arguments if not text.startswith("--deviations=")]
    return all(spec.partition(":")[0] in KEPT for spec in specs)


def digest(arguments: Sequence[str]) -> str:
    """Of the sources that a verdict depends on, a file of deviations included."""
    found = hashlib.sha256(json.dumps([*arguments, version("torch")]).encode())
    files = [Path(text.rpartition("=")[2]) for text in arguments]
    files += [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    for path in [*files, ROOT / "conformance.md"]:
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()[:16]
