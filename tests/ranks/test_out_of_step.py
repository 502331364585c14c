"""Something fails on one rank alone once the ranks have agreed: it enters no collective from then on, and says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

import optimized
from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.exact import ExactTower, exact_spec
from plumbline.feature import LocalFeature
from plumbline.interface import (
    Budgets,
    Capability,
    Chunk,
    Encoded,
    Failure,
    Identity,
    Implementation,
    PlumblineError,
    RanksLost,
    Rows,
)
from plumbline.parts import claimed, image, prepared_of
from plumbline.ranks import join
from plumbline.resolve import Subject
from plumbline.rig import Rig, build_rig
from plumbline.scenario import ITEM_PATCHES, RequestRecipe, TowerRecipe

TOWER = TowerRecipe()
BUDGETS = Budgets(1 << 20, 64, ITEM_PATCHES)


class FullRank:
    """Two ranks, of which the other gives what this one gives. This one has no memory left in one of the collectives."""

    rank, size = 0, 2

    def __init__(self, full: int) -> None:
        self.full, self.entered = full, 0

    def agree(self, words: Tensor) -> Tensor:
        self._enter()
        return torch.stack([words, words])

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        self._enter()
        return [rows, rows.new_zeros((counts[1], rows.shape[1]))]

    def _enter(self) -> None:
        self.entered += 1
        if self.entered == self.full:
            raise MemoryError("no room for what the others send")


class StrangeRank(FullRank):
    """The other one gives something else, as one does that is in another collective."""

    def __init__(self, word: int) -> None:
        super().__init__(0)
        self.word = word

    def agree(self, words: Tensor) -> Tensor:
        return torch.stack([words, torch.full_like(words, self.word)])


class FullCache:
    """There is never room for a copy."""

    nbytes = 0

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        return None

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        raise MemoryError("no room for a copy")

    def clear(self) -> None: ...


WITH_FULL_CACHE = dataclasses.replace(optimized.implementation, cache=lambda runtime: FullCache())


def rig_with(implementation: Implementation, ranks: FullRank | None) -> Rig:
    spec = exact_spec(TOWER)
    return build_rig(implementation, ExactTower(TOWER, spec), spec, BUDGETS, ranks=ranks)


def served(rig: Rig, name: str, seed: int) -> list[PlumblineError]:
    """Why a request for one picture failed."""
    prepared = prepared_of(rig, RequestRecipe(name, (image(seed),)))
    rig.embed.admit(prepared)
    step = rig.embed.step([Chunk(name, 0, len(prepared.token_ids))])
    failures = [one.error for one in (*step.results, *step.settle()) if isinstance(one, Failure)]
    rig.embed.finish(name)
    return failures


@pytest.mark.requirement("RANK-007")
@pytest.mark.parametrize("full", [1, 2, 3])
def test_a_rank_that_left_a_collective_enters_no_other(subject: Subject, full: int) -> None:
    """It leaves the agreement, the gathering or the agreement of settling."""
    claimed(subject, Capability.RANKS)
    ranks = FullRank(full)
    rig = rig_with(subject.implementation, ranks)
    for seed in range(3):
        assert [type(error) for error in served(rig, f"r{seed}", seed)] == [RanksLost]
    assert ranks.entered == full


def test_a_rank_that_cannot_keep_what_the_others_keep_enters_no_other() -> None:
    ranks = FullRank(0)
    rig = rig_with(WITH_FULL_CACHE, ranks)
    assert not served(rig, "first", 1)
    entered = ranks.entered
    assert [type(error) for error in served(rig, "second", 2)] == [RanksLost]
    assert ranks.entered == entered


@pytest.mark.parametrize("word", [-(1 << 62), -3, -1, 0, 3, 1 << 62])
def test_what_another_rank_says_out_of_step_does_not_escape(word: int) -> None:
    """Two pictures, of which each rank has one: as a number of rows, of words, or as text."""
    rig = rig_with(optimized.implementation, StrangeRank(word))
    prepared = prepared_of(rig, RequestRecipe("r", (image(1), image(2))))
    rig.embed.admit(prepared)
    step = rig.embed.step([Chunk("r", 0, len(prepared.token_ids))])
    step.settle()
    assert isinstance(step.results[0], Failure)


def test_without_ranks_what_cannot_be_kept_is_served_as_it_is() -> None:
    """The first of two halves, after which a picture is kept for the second, and another's lost lease is still told."""
    rig = rig_with(WITH_FULL_CACHE, None)
    recipe = image(1)
    whole = prepared_of(rig, RequestRecipe("whole", (recipe,)))
    fenced = prepared_of(rig, RequestRecipe("fenced", (image(2),)))
    payload = fenced.items[0].payload
    assert isinstance(payload, Tensor)
    lost = dataclasses.replace(fenced.items[0], payload=LocalFeature(payload, fence=True))
    rig.embed.admit(whole)
    rig.embed.admit(dataclasses.replace(fenced, items=(lost,)))
    (lo, hi), *_ = whole.items[0].spans
    step = rig.embed.step([Chunk("whole", 0, lo + 1), Chunk("fenced", 0, len(fenced.token_ids))])
    assert [failure.request_id for failure in step.settle()] == ["fenced"]
    rest = rig.embed.step([Chunk("whole", lo + 1, hi)])
    assert not rest.settle()
    halves = [one for one in (step.results[0], rest.results[0]) if isinstance(one, Rows)]
    rows = torch.cat([half.rows for half in halves])
    assert torch.equal(bits_of(rows), expected_rows(TOWER, recipe, 0, 0))
    assert len(rig.tower.calls) == 1


def test_a_group_whose_rows_find_no_room_is_lost(tmp_path: Path) -> None:
    ranks = join(tmp_path / "meeting", 0, 1, torch.device("cpu"))
    try:
        assert ranks.agree(torch.tensor([7])).tolist() == [[7]]
        with pytest.raises(RanksLost):
            ranks.gather(torch.zeros(1, 4), [1 << 50])
        with pytest.raises(RanksLost):
            ranks.agree(torch.tensor([7]))
    finally:
        dist.destroy_process_group()
