"""The command that certifies a checkpoint's tower: a certificate is written, accepted again, and refused elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.certify import Certificate
from plumbline.certify_checkpoint import main
from plumbline.judge_tower import families_of
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import checkpoint

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("small"))


@pytest.mark.requirement("NUM-004")
def test_a_certificate_is_written_and_holds_for_its_own_tower_alone(
    subject: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the first family that the implementation loads."""
    if subject.implementation.tower is None:
        pytest.skip("it brings no tower")
    family = families_of(subject.implementation, tmp_path, HostPort())[0]
    written = tmp_path / "certificate.json"
    tower = [str(tmp_path / family), "--impl", subject.spec, "--dtype", "float32"]
    check = ["--check", str(written)]
    assert main([*tower, "--out", str(written)]) == 0
    assert Certificate.from_json(written.read_text(encoding="utf-8")).invariant
    assert main([*tower, *check]) == 0
    assert main([*tower, "--dtype", "float64", *check]) == 1
    written.write_text("{}", encoding="utf-8")
    assert main([*tower, *check]) == 1
    assert not capsys.readouterr().out


@pytest.mark.requirement("NUM-004")
def test_a_certificate_is_refused_for_another_family(folder: Path, tmp_path: Path) -> None:
    written = tmp_path / "certificate.json"
    assert main([str(folder), "--dtype", "float32", "--out", str(written)]) == 0
    other = checkpoint(tmp_path / "other", family="qwen2_5_vl")
    assert main([str(other), "--dtype", "float32", "--check", str(written)]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ["no such folder"],
        [],
        ["{folder}", "--made-up", "qwen3_vl"],
        ["{folder}", "--impl", "no_such_module:x"],
        ["{folder}", "--dtype", "float32", "--check", "no such certificate"],
    ],
)
def test_what_cannot_be_certified_ends_with_status_2(folder: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([argument.format(folder=folder) for argument in wrong])
    assert ended.value.code == 2


@pytest.mark.requirement("NUM-004")
@pytest.mark.parametrize(
    "path", sorted((ROOT / "fixtures" / "certificates").glob("*.json")), ids=lambda path: path.stem
)
def test_a_committed_certificate_holds_or_names_what_is_other_here(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Certificate.from_json(path.read_text(encoding="utf-8")).invariant
    folder = checkpoint(tmp_path, family=path.name.partition("-")[0])
    status = main([str(folder), "--dtype", "float32", "--check", str(path)])
    assert status == 0 or "certified for" in capsys.readouterr().err
