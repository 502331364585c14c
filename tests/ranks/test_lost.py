"""Ranks that are lost while a step is under way."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import Budgets, Capability, Chunk, Failure, RanksLost, Rows
from plumbline.parts import claimed, image, prepared_of
from plumbline.resolve import Subject
from plumbline.rig import build_rig
from plumbline.scenario import ITEM_PATCHES, RequestRecipe, TowerRecipe


class MortalRanks:
    """Two ranks, of which the other gives what this one gives, until it dies in a collective after so many."""

    rank, size = 0, 2

    def __init__(self, lives: int) -> None:
        self.lives = lives

    def agree(self, words: Tensor) -> Tensor:
        self._live()
        return torch.stack([words, words])

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        self._live()
        return [rows, rows.new_zeros((counts[1], rows.shape[1]))]

    def _live(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise RanksLost("the other rank died")


@pytest.mark.requirement("RANK-007")
@pytest.mark.parametrize("lives", range(4))
def test_what_needed_a_lost_rank_fails_and_nothing_escapes(subject: Subject, lives: int) -> None:
    """In the agreement, the gathering or settling; a request that needs no rows goes on."""
    claimed(subject, Capability.RANKS)
    tower = TowerRecipe()
    spec = exact_spec(tower)
    budgets, ranks = Budgets(1 << 20, 64, ITEM_PATCHES), MortalRanks(lives)
    rig = build_rig(subject.implementation, ExactTower(tower, spec), spec, budgets, ranks=ranks)
    recipes = [RequestRecipe("image", (image(1),)), RequestRecipe("text", ())]
    prepared = [prepared_of(rig, recipe) for recipe in recipes]
    for one in prepared:
        rig.embed.admit(one)
    step = rig.embed.step([Chunk(one.request_id, 0, len(one.token_ids)) for one in prepared])
    failures = {f.request_id: f.error for f in (*step.settle(), *(r for r in step.results if isinstance(r, Failure)))}
    assert [type(error) for error in failures.values()] == ([RanksLost] if ranks.lives < 0 else [])
    assert set(failures) <= {"image"}
    assert isinstance(step.results[1], Rows)
    for one in prepared:
        rig.embed.finish(one.request_id)
