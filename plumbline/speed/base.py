"""What a comparison holds today's code against: an earlier commit's code, measured in turns with it, or an earlier record."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plumbline.requirements import ROOT
from plumbline.speed.history import find
from plumbline.speed.record import Record

HISTORY = ROOT / "benchmarks" / "history"


Base = Path | Record
"""The folder of a checkout, for the time of the comparison; or a record, where no such code is at hand: what has changed about
the machine since then looks like a change of the code."""


@contextmanager
def base_of(named: str, implementation: str, hardware: str, ours: bool) -> Iterator[Base]:
    """named: a record's file; else a commit, or "last" for that of the newest record. ours: the implementation is part of
    Plumbline, so that the commit's code is its earlier self.

    Raises BaseNotFound, and RecordError for a file that is no record.
    """
    is_file = any(path.is_file() for path in (Path(named), HISTORY / named))
    if is_file or not ours:
        yield find(HISTORY, named, hardware, implementation)
        return
    commit = find(HISTORY, named, hardware, implementation).commit if named == "last" else named
    with checked_out(commit) as code:
        yield code or find(HISTORY, named, hardware, implementation)


@contextmanager
def checked_out(commit: str, repository: Path = ROOT) -> Iterator[Path | None]:
    """A folder with the commit's files, for as long as the context lasts.

    None where git does not have it, as of one with changes ("1e30570+").
    """
    git = ["git", "-C", str(repository)]
    asked = [*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    found = subprocess.run(asked, capture_output=True, text=True)
    if found.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "base")
        subprocess.run(
            [*git, "worktree", "add", "--detach", str(folder), found.stdout.strip()], capture_output=True, check=True
        )
        try:
            yield folder
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(folder)], capture_output=True)
