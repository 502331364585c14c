"""Ranks on GPUs: rows gathered over NCCL have the bits of one rank, and the host does not wait for them to travel."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from plumbline.build import bits_of
from plumbline.certify import ROW_COUNTS
from plumbline.cuda.gathering import GatheringRank
from plumbline.rank_processes import Party, PartySetting, PatchedImage, TowerRank
from plumbline.small_tower import checkpoint

SIZES = (2, 4, 6, 8, 16, 32)
COUNTS = {2: [(3, 1), (0, 5), (4, 4)], 4: [(3, 0, 7, 1), (0, 0, 0, 9), (2, 2, 2, 2)]}
"""Rows of each rank, by the number of ranks."""


@pytest.fixture(autouse=True)
def without_multicast(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVLink multicast needs rights that a container may not have."""
    monkeypatch.setenv("NCCL_NVLS_ENABLE", "0")


@pytest.fixture(params=[2, 4])
def devices(gpus: list[str], request: pytest.FixtureRequest) -> tuple[str, ...]:
    if len(gpus) < request.param:
        pytest.skip(f"needs {request.param} GPUs")
    return tuple(gpus[: request.param])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("tower"))


@pytest.fixture
def setting(devices: tuple[str, ...], folder: Path, tmp_path: Path) -> PartySetting:
    return PartySetting(devices, folder, tmp_path / "meeting", dtype=torch.bfloat16)


@pytest.fixture
def party(setting: PartySetting) -> Iterator[Party[GatheringRank]]:
    with Party(GatheringRank, setting) as party:
        yield party


def drawn(seed: int, count: int) -> list[PatchedImage]:
    draw = random.Random(seed)
    return [PatchedImage(1000 * seed + k, draw.choice(SIZES), draw.choice(SIZES)) for k in range(count)]


@pytest.mark.requirement("RANK-004", "RANK-005")
def test_rows_have_the_bits_of_one_rank(party: Party[GatheringRank], setting: PartySetting) -> None:
    """With fewer pictures than ranks, and many more."""
    with Party(TowerRank, replace(setting, devices=setting.devices[:1])) as alone:
        (floor,) = alone.all(TowerRank.certify, ROW_COUNTS)
        party.all(TowerRank.use_floor, floor)
        for seed, count in enumerate((1, 3, 7, 24)):
            pictures = drawn(seed, count)
            (wanted,) = alone.all(TowerRank.serve, pictures)
            served = party.all(TowerRank.serve, pictures)
            assert sorted(k for one in served for k in one.opened) == list(range(count))
            for one in served:
                for got, due in zip(one.rows, wanted.rows, strict=True):
                    assert not isinstance(got, str), got
                    assert not isinstance(due, str), due
                    assert all(torch.equal(bits_of(a), bits_of(b)) for a, b in zip(got, due, strict=True))


def test_the_host_does_not_wait_for_rows(party: Party[GatheringRank], devices: tuple[str, ...]) -> None:
    """Nor with uneven shares and empty ones."""
    party.all(GatheringRank.gather, COUNTS[len(devices)][0])  # sets up NCCL
    for counts in COUNTS[len(devices)]:
        for came, called, took in party.all(GatheringRank.gather, counts):
            assert came == [(count, True) for count in counts]
            # The gathering waits for work of its stream, most of ``took``: a host that waited would be in the call for as long.
            assert called < took / 4, f"the host was in the call for {called:.3f} of {took:.3f} s"
