"""What a comparison holds today's code against is found, and is what is measured."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from plumbline.requirements import ROOT
from plumbline.speed.__main__ import PARTS
from plumbline.speed.base import HISTORY, base_of, checked_out
from plumbline.speed.history import BaseNotFound
from plumbline.speed.measure import Side, measure_in_turns
from plumbline.speed.record import Record, parse


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, and a change that is in none."""
    git(tmp_path, "init", "-q")
    for text in ("one", "two"):
        (tmp_path / "file").write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", text)
    (tmp_path / "file").write_text("three")
    return tmp_path


def test_a_commit_s_files_are_there_for_a_while(repository: Path) -> None:
    for name, text in (("HEAD~1", "one"), (git(repository, "rev-parse", "--short", "HEAD"), "two")):
        with checked_out(name, repository) as folder:
            assert folder
            assert (folder / "file").read_text() == text
        assert not folder.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert (repository / "file").read_text() == "three"


@pytest.mark.parametrize("name", ["0123abc", "HEAD+", "--help", ""])
def test_what_is_no_commit_has_no_files(name: str, repository: Path) -> None:
    with checked_out(name, repository) as folder:
        assert folder is None


def test_an_engine_s_commits_are_looked_for_among_records() -> None:
    """Its code is what it imports, too, of which Plumbline has no earlier state."""
    with pytest.raises(BaseNotFound, match="acme on"), base_of("HEAD", "acme", "a machine", ours=False):
        pass
    newest = max(HISTORY.glob("*-bench-cpu-*.json"))
    with base_of(newest.name, "acme", "a machine", ours=True) as base:
        assert isinstance(base, Record)


def test_the_base_s_own_code_is_measured(tmp_path: Path) -> None:
    """Of its checkout, whatever is installed; in as many processes, and nothing else is affected."""
    folder = tmp_path / "base"
    git(ROOT, "worktree", "add", "--detach", str(folder), "HEAD")
    try:
        broken = folder / "optimized" / "identify.py"
        broken.write_text(
            broken.read_text().replace("return blake3(self.header(item)).digest()", "return bytes(32)", 1)
        )
        given = [PARTS, "--impl=optimized", "--seconds=0.02", "--only=identify/video", "--only=encode/video"]
        count: list[tuple[int, int]] = []
        base, new = (
            parse(data, "-")
            for data in measure_in_turns([Side(given, folder), Side(given)], 2, lambda _, k, n: count.append((k, n)))
        )
    finally:
        git(ROOT, "worktree", "remove", "--force", str(folder))
    assert [w.benchmark for w in base.withheld] == ["identify/video"]
    assert not new.withheld
    assert {len(m.processes) for m in new.measurements} == {2}
    assert count == [(k, 8) for k in range(1, 9)]
