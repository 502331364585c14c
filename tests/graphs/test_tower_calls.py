"""Towers in stories on the CPU, where nothing is captured and all memory is the process's; tests/sim tells them on a device."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from plumbline.certify import same_bits
from plumbline.interface import Capability, Checkpoint, Modality
from plumbline.judge_tower import TowerJudge, encode, folders_of, row_floor_of, tower_of
from plumbline.parts import claimed, loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from plumbline.tower_calls import Call, Draw, Picture, Update, packed, stories
from reference.towers import load

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.mark.requirement("NUM-001", "NUM-003", "GRAPH-006", "EPOCH-003")
@pytest.mark.parametrize("family", FAMILIES)
def test_each_picture_has_its_own_rows_in_every_call(
    subject: Subject,
    family: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    say_broken: Callable[[str], None],
) -> None:
    loads(subject, family, tmp_path / "each")
    seed = request.config.option.plumbline_seed
    folders = folders_of(tmp_path / "one", family=family)
    floor = row_floor_of(subject.implementation, folders[0], HostPort())
    judge = TowerJudge(subject.implementation, folders, HostPort, floor, alone_on=HostPort)
    for story in stories(seed, Capability.VIDEO in subject.implementation.capabilities):
        verdicts = judge.judge(story)
        for violation in verdicts.violations:
            say_broken(violation.requirement)
        assert not verdicts.violations, "\n".join(f"{v.requirement}: {v.message}" for v in verdicts.violations)


def test_stories_are_what_they_say() -> None:
    for seed in range(20):
        draw = Draw(random.Random(seed), videos=True)
        totals = {sum(p.frames * p.height * p.width for p in step.pictures) for step in draw.partitions()}  # type: ignore[union-attr]
        assert len(totals) == 1
        assert any(isinstance(step, Update) for step in draw.updates())
        assert len({s.requirement for s in stories(seed, videos=True)}) == 7
        for story in stories(seed, videos=False):
            assert all(
                p.modality is Modality.IMAGE for step in story.steps if isinstance(step, Call) for p in step.pictures
            )


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl", "kimi_k25"])
def test_a_call_is_laid_out_as_the_family_wants_it(tmp_path: Path, family: str) -> None:
    """The reference's towers read it, and the segments are those of its layout."""

    tower = load(Checkpoint(checkpoint(tmp_path, family=family), torch.float32, 61, 62, 64), HostPort())
    for step in Draw(random.Random(1), videos=True).partitions():
        assert isinstance(step, Call)
        call = packed(tower.spec, step)
        pools = [tower.spec.layouts[p.modality].pools_frames for p in step.pictures]
        counts = [1 if pooled else p.frames for p, pooled in zip(step.pictures, pools, strict=True)]
        assert len(call.cu_seqlens) - 1 == sum(counts)
        rows = sum(p.height * p.width * count for p, count in zip(step.pictures, counts, strict=True))
        assert len(tower(call).rows) == rows


@pytest.mark.requirement("ISO-001", "NUM-001")
@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_a_picture_of_many_patches_has_the_same_rows_again(subject: Subject, family: str, tmp_path: Path) -> None:
    """More than a tower may have planned for, before and after a small one; of frames, so that attention stays small."""
    claimed(subject, Capability.VIDEO)
    loads(subject, family, tmp_path / "each")
    port, folder = HostPort(), checkpoint(tmp_path / "one", family=family, patch_size=2, depth=2, **SHALLOW[family])
    tower = tower_of(subject.implementation, folder, port)
    large, small = Picture(200, 10, 10, 1), Picture(1, 2, 3, 2)
    rows = [encode(tower, picture, port).rows for picture in (large, small, large)]
    assert len(rows[0]) == large.frames * large.height * large.width
    assert same_bits(rows[0], rows[2])


SHALLOW: dict[str, dict[str, object]] = {
    "qwen3_vl": {"deepstack_visual_indexes": [0]},
    "qwen2_5_vl": {"fullatt_block_indexes": [1], "window_size": 12},
}
"""What two layers leave of the lists of layers, and windows of small patches."""
