"""Several items of one rank in one step: each has its own rows, at all levels, or fails for its own reason, at any length."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import pytest
import torch

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import (
    Budgets,
    Capability,
    Chunk,
    Encoded,
    EncodingFailed,
    Failure,
    Packed,
    PayloadMissing,
    Ranks,
    Rows,
)
from plumbline.parts import About, claimed, image, prepared_of
from plumbline.rank_threads import Meeting
from plumbline.resolve import Subject
from plumbline.rig import build_rig
from plumbline.scenario import ITEM_PATCHES, RequestRecipe, TowerRecipe

TOWER = TowerRecipe()
SPEC = exact_spec(TOWER)
KINDS = [
    *("good", "gone", "gone", "fails", "fails", "good", "gone", "fails", "fails", "gone"),
    *("good", "fails", "gone", "good"),
]
WANTED = {"good": "rows", "gone": PayloadMissing.__name__, "fails": EncodingFailed.__name__}


class Talkative:
    """Says much when it fails, as what runs out of memory does, and little that is ASCII: wherever it is cut, that is in
    a character at some time."""

    def __init__(self) -> None:
        self.spec, self.epoch, self._tower = SPEC, 0, ExactTower(TOWER, SPEC)
        self._failed = itertools.count()

    def __call__(self, packed: Packed) -> Encoded:
        try:
            return self._tower(packed)
        except Exception as error:
            raise RuntimeError("x" * (next(self._failed) % 7) + "\N{SNOWMAN}\U0001f5bc" * 1500) from error


def said(subject: Subject, ranks: Ranks) -> list[tuple[str, str]]:
    """For each request, what became of it, and its text."""
    rig = build_rig(subject.implementation, Talkative(), SPEC, Budgets(1 << 20, 64, ITEM_PATCHES), ranks=ranks)
    chunks = []
    for seed, kind in enumerate(KINDS):
        prepared = prepared_of(rig, RequestRecipe(f"r{seed}", (image(seed, 4 + seed, fault=kind == "fails"),)))
        if kind == "gone":
            items = tuple(dataclasses.replace(item, payload=None) for item in prepared.items)
            prepared = dataclasses.replace(prepared, items=items)
        rig.embed.admit(prepared)
        chunks.append(Chunk(f"r{seed}", 0, len(prepared.token_ids)))
    step = rig.embed.step(chunks)
    assert not step.settle()
    failures = [one.error if isinstance(one, Failure) else None for one in step.results]
    return [(type(error).__name__, str(error)) if error else ("rows", "") for error in failures]


@pytest.mark.requirement("RANK-003")
@pytest.mark.requirement("ENC-006")
@pytest.mark.parametrize("size", [2, 3])
def test_each_failure_of_a_rank_keeps_its_class(subject: Subject, size: int, about: About) -> None:
    claimed(subject, Capability.RANKS)
    meeting: Meeting[list[tuple[str, str]]] = Meeting(size)
    first, *others = meeting.run(partial(said, subject))
    with about("RANK-003"):
        assert not meeting.diverged
        assert isinstance(first, list), first
        for rank, other in enumerate(others, 1):
            assert isinstance(other, list), other
            pairs = enumerate(zip(first, other, strict=True))
            apart = [f"r{k}: {a[0]} {a[1][:80]!r}, and {b[0]} {b[1][:80]!r}" for k, (a, b) in pairs if a != b]
            assert not apart, f"rank 0 and rank {rank} say of {apart}"
    with about("ENC-006"):
        got = zip(first, KINDS, strict=True)
        wrong = [f"r{k}: {kind} for {WANTED[due]}" for k, ((kind, _), due) in enumerate(got) if kind != WANTED[due]]
        assert not wrong, wrong


def shown(tower: TowerRecipe, subject: Subject, ranks: Ranks) -> list[str]:
    """What is wrong with the rows of images of other sizes, in one step."""
    spec = exact_spec(tower)
    budgets = Budgets(1 << 20, 64, ITEM_PATCHES)
    rig = build_rig(subject.implementation, ExactTower(tower, spec), spec, budgets, ranks=ranks)
    recipes = [image(seed, 1 + 3 * seed % 7) for seed in range(8)]
    chunks = []
    for seed, recipe in enumerate(recipes):
        prepared = prepared_of(rig, RequestRecipe(f"r{seed}", (recipe,)), tower)
        rig.embed.admit(prepared)
        chunks.append(Chunk(f"r{seed}", 0, len(prepared.token_ids)))
    step = rig.embed.step(chunks)
    assert not step.settle()
    wrong = []
    for recipe, result in zip(recipes, step.results, strict=True):
        assert isinstance(result, Rows), result
        for level, rows in enumerate((result.rows, *result.side)):
            if not torch.equal(bits_of(rows), expected_rows(tower, recipe, 0, level)):
                wrong.append(f"{result.request_id}, level {level}")
    return wrong


@pytest.mark.requirement("RANK-004", "ENC-010")
@pytest.mark.parametrize("side_levels", [0, 2])
@pytest.mark.parametrize("size", [2, 3])
def test_each_item_of_a_rank_has_its_own_rows(subject: Subject, size: int, side_levels: int) -> None:
    claimed(subject, Capability.RANKS, *[Capability.SIDE_ROWS] * side_levels)
    meeting: Meeting[list[str]] = Meeting(size)
    found = meeting.run(partial(shown, TowerRecipe(side_levels=side_levels), subject))
    assert found == [[]] * size
