"""Ranks as processes over gloo, around a real tower: the same bits on any number of them, and a bounded wait for the dead."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import torch

from plumbline.build import bits_of
from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.rank_processes import SILENCE, Party, Picture, Served, TowerRank
from plumbline.resolve import Subject
from plumbline.small_tower import checkpoint

SIZES = (2, 4, 6, 8, 10)


@pytest.fixture(autouse=True)
def in_processes(subject: Subject, request: pytest.FixtureRequest) -> None:
    claimed(subject, Capability.RANKS, Capability.LAZY)
    if request.config.option.profile == "mutant":
        pytest.skip("mutants die in one process")


def drawn(seed: int, count: int) -> list[Picture]:
    draw = random.Random(seed)
    return [Picture(1000 * seed + k, draw.choice(SIZES), draw.choice(SIZES)) for k in range(count)]


STEPS = [drawn(1, 7), drawn(2, 1), drawn(3, 12), drawn(4, 2)]
"""With fewer pictures than ranks, as many, and more."""


def same_rows(served: Served, other: Served) -> bool:
    pairs = zip(served.rows, other.rows, strict=True)
    return all(
        len(a) == len(b) and all(torch.equal(bits_of(x), bits_of(y)) for x, y in zip(a, b, strict=True))
        for a, b in pairs
        if not isinstance(a, str) and not isinstance(b, str)
    ) and all(not isinstance(one, str) for one in (*served.rows, *other.rows))


@pytest.mark.requirement("RANK-004")
@pytest.mark.requirement("RANK-005")
@pytest.mark.slow
def test_one_two_and_four_ranks_give_the_same_bits(subject: Subject, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tower")
    alone: list[Served] = []
    for size in (1, 2, 4):
        with Party(["cpu"] * size, folder, tmp_path / f"meeting-{size}", subject.spec, subject.replaced) as party:
            for k, pictures in enumerate(STEPS):
                served = party.all(TowerRank.serve, pictures)
                alone += served if size == 1 else []
                assert all(same_rows(one, alone[k]) for one in served)
                assert sorted(number for one in served for number in one.opened) == list(range(len(pictures)))


@pytest.mark.requirement("RANK-007")
@pytest.mark.parametrize("how", ["killed", pytest.param("stopped", marks=pytest.mark.slow)])
def test_a_rank_that_is_gone_fails_the_step_of_the_others(subject: Subject, how: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tower")
    with Party(["cpu"] * 2, folder, tmp_path / "meeting", subject.spec, subject.replaced) as party:
        assert same_rows(*party.all(TowerRank.serve, STEPS[0]))
        survivor, gone = party.ranks
        gone.kill() if how == "killed" else gone.stop()
        for pictures in STEPS[1:3]:
            began = time.monotonic()
            served = survivor.call(TowerRank.serve, pictures)
            assert served.rows == ["RanksLost"] * len(pictures)
            assert time.monotonic() - began < SILENCE + 5
