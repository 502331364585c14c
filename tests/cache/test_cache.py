"""The cache as a part, and Embed around a cache that lies."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.interface import Cache, Capability, Chunk, Encoded, Identity, Rows
from plumbline.parts import About, claimed, float_rows, image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.scenario import RequestRecipe, TowerRecipe

ROW = 8 * 4


def cache_of(subject: Subject, rows: int, side_levels: int = 0) -> Cache:
    cache = rig_of(subject.implementation, TowerRecipe(side_levels=side_levels), cache_bytes=rows * ROW).cache
    assert cache is not None, "CACHE is claimed, and there is no cache"
    return cache


def name(k: int) -> Identity:
    return Identity(k.to_bytes(32, "little"))


def storage_bytes(encoded: Encoded) -> int:
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in (encoded.rows, *encoded.side)}
    return sum(storages.values())


@pytest.mark.requirement("CACHE-003")
@pytest.mark.requirement("CACHE-004")
@pytest.mark.parametrize("seed", range(4))
def test_reported_bytes_are_the_storage_of_the_entries_and_stay_in_the_budget(
    subject: Subject, seed: int, about: About
) -> None:
    """Any order of puts, repeated ones and views of larger batches among them, and gets."""
    rng = random.Random(seed)
    cache = cache_of(subject, rows=20)
    for _ in range(120):
        k, rows = rng.randrange(12), rng.randrange(1, 9)
        if rng.random() < 0.3:
            cache.get(name(k), 0)
        else:
            batch = torch.cat([float_rows(99, rng.randrange(5)), float_rows(k, rows), float_rows(98, 3)])
            at = len(batch) - 3 - rows
            cache.put(name(k), 0, Encoded(batch[at : at + rows]))
        kept = [e for e in (cache.get(name(j), 0) for j in range(12)) if e is not None]
        with about("CACHE-004"):
            assert cache.nbytes <= 20 * ROW
        with about("CACHE-003"):
            assert cache.nbytes == sum(storage_bytes(e) for e in kept)


@pytest.mark.requirement("CACHE-003")
def test_side_rows_count(subject: Subject) -> None:
    claimed(subject, Capability.SIDE_ROWS)
    cache = cache_of(subject, rows=20, side_levels=2)
    assert cache.put(name(1), 0, Encoded(float_rows(1, 2), (float_rows(2, 2), float_rows(3, 2))))
    assert cache.nbytes == 6 * ROW
    assert cache.put(name(2), 0, Encoded(float_rows(1, 4), (float_rows(2, 4), float_rows(3, 4))))
    assert cache.nbytes == 18 * ROW
    cache.clear()
    assert cache.nbytes == 0
    assert cache.get(name(1), 0) is None


@pytest.mark.requirement("CACHE-005")
@pytest.mark.parametrize("side_levels", [0, 1])
@pytest.mark.parametrize("whole", [True, False])
def test_an_entry_survives_the_batch_that_it_came_from(subject: Subject, side_levels: int, whole: bool) -> None:
    if side_levels:
        claimed(subject, Capability.SIDE_ROWS)
    cache = cache_of(subject, 20, side_levels)
    batches = [float_rows(1 + k, 6) for k in range(1 + side_levels)]
    rows, *side = (batch if whole else batch[2:5] for batch in batches)
    wanted = [one.clone() for one in (rows, *side)]
    assert cache.put(name(1), 0, Encoded(rows, tuple(side)))
    for batch in batches:
        batch.fill_(-1)
    kept = cache.get(name(1), 0)
    assert kept is not None
    assert all(torch.equal(a, b) for a, b in zip(wanted, (kept.rows, *kept.side), strict=True))


@pytest.mark.requirement("CACHE-002")
def test_an_entry_is_served_for_its_identity_and_epoch_only(subject: Subject) -> None:
    cache = cache_of(subject, rows=20)
    assert cache.put(name(1), 3, Encoded(float_rows(1, 2)))
    assert cache.get(name(1), 3) is not None
    for epoch in (0, 2, 4):
        assert cache.get(name(1), epoch) is None
    for k in (0, 2, 257, 1 + 2**64, 1 + 2**128, 1 + 2**192):
        assert cache.get(name(k), 3) is None


@pytest.mark.requirement("CACHE-009")
def test_what_does_not_fit_at_all_is_refused_and_evicts_nothing(subject: Subject) -> None:
    cache = cache_of(subject, rows=4)
    assert cache.put(name(1), 0, Encoded(float_rows(1, 2)))
    assert cache.put(name(2), 0, Encoded(float_rows(2, 2)))
    assert not cache.put(name(3), 0, Encoded(float_rows(3, 5)))
    assert cache.get(name(1), 0) is not None
    assert cache.get(name(2), 0) is not None
    assert cache.put(name(4), 0, Encoded(float_rows(4, 4)))
    assert cache.nbytes == 4 * ROW


@pytest.mark.requirement("CACHE-009")
def test_a_cache_of_nothing_refuses_everything(subject: Subject) -> None:
    cache = cache_of(subject, rows=0)
    assert not cache.put(name(1), 0, Encoded(float_rows(1, 1)))
    assert cache.nbytes == 0


@pytest.mark.requirement("CACHE-011")
def test_the_least_recently_used_entry_goes_first(subject: Subject) -> None:
    cache = cache_of(subject, rows=6)
    for k in (1, 2, 3):
        cache.put(name(k), 0, Encoded(float_rows(k, 2)))
    cache.get(name(1), 0)
    cache.put(name(4), 0, Encoded(float_rows(4, 2)))
    assert [cache.get(name(k), 0) is not None for k in (1, 2, 3, 4)] == [True, False, True, True]


@pytest.mark.requirement("CACHE-007")
@pytest.mark.parametrize("first", ["longer", "shorter"])
def test_an_entry_with_another_row_count_is_not_served(subject: Subject, first: str) -> None:
    """Two items of different length under one identity, as a shortened or reused key gives them."""
    rig = rig_of(subject.implementation)
    recipes = [image(1, 6), image(2, 3)] if first == "longer" else [image(2, 3), image(1, 6)]
    shared = Identity(b"\7" * 32)
    for k, recipe in enumerate(recipes):
        request = RequestRecipe(f"r{k}", (recipe,))
        prepared = dataclasses.replace(prepared_of(rig, request), identities=(shared,))
        rig.embed.admit(prepared)
        step = rig.embed.step([Chunk(f"r{k}", 0, len(prepared.token_ids))])
        result = step.results[0]
        assert isinstance(result, Rows), result
        assert torch.equal(bits_of(result.rows), expected_rows(TowerRecipe(), recipe, 0, 0))
        step.settle()
        rig.embed.finish(f"r{k}")
