"""The folder of a report: each file is old or new, never half, and nothing in it looks like a run that it is not of.

Saved cases stay: each says what it is, and somebody may have declared one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from plumbline.summary import nothing_said

REPORT, PAGE, SUMMARY = "conformance.json", "index.html", "summary.md"


def discard(folder: Path) -> None:
    """Takes an earlier run's verdict away: this run may end, or be ended, without one."""
    for name in (REPORT, PAGE, SUMMARY):
        (folder / name).unlink(missing_ok=True)


def put(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        _replace(folder / name, text)


def put_nothing_said(folder: Path, why: str) -> None:
    """Says in ``summary.md`` why there is no verdict, and leaves none."""
    discard(folder)
    put(folder, {SUMMARY: nothing_said(why)})


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
