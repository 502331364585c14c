"""Ranks as processes over gloo, around a real tower: the same bits on any number of them, and a bounded wait for the dead."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from plumbline.build import bits_of
from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.rank_processes import SILENCE, Party, PartySetting, PatchedImage, Served, TowerRank
from plumbline.resolve import Subject
from plumbline.small_tower import checkpoint

SIZES = (2, 4, 6, 8, 10)
ROW_COUNTS = (*range(1, 40), 64, 200, 1200)
"""Of calls with some of these pictures; a full sweep takes seconds."""


@pytest.fixture(autouse=True)
def in_processes(subject: Subject, request: pytest.FixtureRequest) -> None:
    claimed(subject, Capability.RANKS, Capability.LAZY)
    if request.config.option.profile == "mutant":
        pytest.skip("mutants die in one process")


def drawn(seed: int, count: int) -> list[PatchedImage]:
    draw = random.Random(seed)
    return [PatchedImage(1000 * seed + k, draw.choice(SIZES), draw.choice(SIZES)) for k in range(count)]


STEPS = [drawn(1, 7), drawn(2, 1), drawn(3, 12), drawn(4, 2)]
"""With fewer pictures than ranks, as many, and more."""


def same_rows(served: Served, other: Served) -> bool:
    """Whether both have rows of every picture, with the same bits."""
    levels = [[one for one in whole.rows if not isinstance(one, str)] for whole in (served, other)]
    if not len(levels[0]) == len(levels[1]) == len(served.rows):
        return False
    pairs = [pair for a, b in zip(*levels, strict=True) for pair in zip(a, b, strict=True)]
    return all(torch.equal(bits_of(x), bits_of(y)) for x, y in pairs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "tower")


@pytest.mark.requirement("RANK-004")
@pytest.mark.requirement("RANK-005")
@pytest.mark.requirement("RANK-007")
@pytest.mark.slow
@pytest.mark.usefixtures("single_thread")
@pytest.mark.parametrize(("size", "end"), [(2, "killed"), (4, "stopped")])
def test_ranks_give_the_bits_of_one_until_one_of_them_is_gone(
    subject: Subject, size: int, end: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if size > 2 and request.config.option.profile == "default":
        pytest.skip("two processes have to do in five minutes")
    setting = PartySetting(("cpu",) * size, folder, tmp_path / "meeting", subject.spec, subject.replaced)
    with Party(TowerRank, setting) as party:
        alone = TowerRank(replace(setting, devices=("cpu",)), 0)
        party.all(TowerRank.use_floor, alone.certify(ROW_COUNTS))
        for pictures in STEPS:
            served = party.all(TowerRank.serve, pictures)
            wanted = alone.serve(pictures)
            assert all(same_rows(of_rank, wanted) for of_rank in served)
            assert sorted(k for of_rank in served for k in of_rank.opened) == list(range(len(pictures)))
        # Who is lost is waited for once, within the time limit, and never again.
        *survivors, gone = party.ranks
        _ = gone.kill() if end == "killed" else gone.stop()
        for pictures, patience in zip(STEPS, (2 * SILENCE, SILENCE / 2), strict=False):
            began = time.monotonic()
            for rank in survivors:
                rank.send(TowerRank.serve, pictures)
            assert [rank.answer().rows for rank in survivors] == [["RanksLost"] * len(pictures)] * len(survivors)
            assert time.monotonic() - began < patience
