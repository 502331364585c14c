"""The cache as a part, and Embed around a cache that lies."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Sequence

import pytest
import torch

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import Budgets, Cache, Capability, Chunk, Encoded, Identity, Rows
from plumbline.parts import About, claimed, float_rows, image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.rig import build_rig
from plumbline.scenario import ITEM_PATCHES, RequestRecipe, TowerRecipe

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


def entry_of(rng: random.Random, dtype: torch.dtype, rows: int, side_levels: int) -> Encoded:
    """Random bits, NaNs among them, as views of larger batches."""
    bits = [
        torch.tensor([rng.randrange(-(2**31), 2**31) for _ in range(8 * (rows + 2))]) for _ in range(1 + side_levels)
    ]
    width = {4: torch.int32, 2: torch.int16}[dtype.itemsize]
    main, *side = (b.to(width).view(dtype).view(rows + 2, 8)[1 : 1 + rows] for b in bits)
    return Encoded(main, tuple(side))


def bits_of_entry(encoded: Encoded) -> list[torch.Tensor]:
    return [bits_of(t).clone() for t in (encoded.rows, *encoded.side)]


@pytest.mark.requirement("CACHE-001", "CACHE-002", "CACHE-003", "CACHE-004", "CACHE-005", "CACHE-006")
@pytest.mark.requirement("CACHE-009", "CACHE-013")
@pytest.mark.requirement("CACHE-014")
@pytest.mark.parametrize("side_levels", [0, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_puts_and_gets(
    subject: Subject, seed: int, dtype: torch.dtype, side_levels: int, about: About
) -> None:
    """Against a dictionary: what fits exactly, what never fits, no rows at all, keys that are present, other epochs, and
    entries that somebody still reads when they are evicted. With a bound for items that is far below the budget, too."""
    claimed(subject, Capability.CACHE, *[Capability.SIDE_ROWS] * side_levels)
    rng, row = random.Random(seed), 8 * dtype.itemsize * (1 + side_levels)
    tower = TowerRecipe(side_levels=side_levels, row_dtype=str(dtype).removeprefix("torch."))
    most, spec = 5 if seed == 2 else ITEM_PATCHES, exact_spec(tower)
    sizes = [rows for rows in (0, 1, 2, 3, 5, 8, 20, 21) if rows <= most]
    cache = build_rig(subject.implementation, ExactTower(tower, spec), spec, Budgets(20 * row, 64, most)).cache
    assert cache is not None
    put: dict[tuple[int, int], list[torch.Tensor]] = {}
    read: list[tuple[Encoded, list[torch.Tensor]]] = []

    def look() -> dict[tuple[int, int], Encoded]:
        """What is there now. It is all used alike, so that it stays in its order."""
        found = {key: cache.get(name(key[0]), key[1]) for key in sorted(put)}
        return {key: entry for key, entry in found.items() if entry is not None}

    def size(entry: Encoded) -> int:
        return len(entry.rows) * row

    for _ in range(80):
        kept = look()
        if rng.random() < 0.05:
            cache.clear()
            put.clear()
        else:
            key = rng.randrange(6), rng.choice([0, 1, 7])
            entry = entry_of(rng, dtype, rng.choice(sizes), side_levels)
            done = cache.put(name(key[0]), key[1], entry)
            bits, fits = bits_of_entry(entry), size(entry) <= 20 * row
            entry.rows.fill_(1)
            with about("CACHE-009"):
                assert bool(done) == fits, f"{len(entry.rows)} rows"
            if done:
                put[key] = bits
            now, others = look(), kept.keys() - {key}
            with about("CACHE-013"):
                assert not fits or key in now, "what was put is not there"
            if not fits:
                with about("CACHE-009"):
                    assert now.keys() == kept.keys()
            elif lost := [size(kept[other]) for other in others - now.keys()]:
                room = 20 * row - sum(map(size, now.values()))
                with about("CACHE-014"):
                    assert max(lost) > room, f"{room} bytes are free, and of entries of {lost} none had to go last"
        now = look()
        with about("CACHE-004"):
            assert cache.nbytes <= 20 * row
        with about("CACHE-003"):
            assert cache.nbytes == sum(storage_bytes(entry) for entry in now.values())
        for key, entry in now.items():
            with about("CACHE-001" if len(entry.rows) == len(put[key][0]) else "CACHE-013"):
                assert all(torch.equal(a, b) for a, b in zip(bits_of_entry(entry), put[key], strict=True))
            read.append((entry, put[key]))
        with about("CACHE-006"):
            assert all(torch.equal(bits_of(entry.rows), bits[0]) for entry, bits in read), "what was read has changed"
        del read[:-40]


@pytest.mark.requirement("CACHE-003")
def test_rows_for_which_there_is_no_memory_are_not_counted(subject: Subject) -> None:
    """A copy that fails half-way through a put."""
    cache = rig_of(subject.implementation, cache_bytes=2**62).cache
    assert cache is not None
    assert cache.put(name(1), 0, Encoded(float_rows(1, 2)))
    with contextlib.suppress(Exception):
        cache.put(name(2), 0, Encoded(float_rows(2, 1).expand(2**52, 8)))
    kept = [entry for entry in (cache.get(name(k), 0) for k in (1, 2)) if entry is not None]
    assert cache.nbytes == sum(storage_bytes(entry) for entry in kept)


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
    for epoch in (0, 1, 2, 4, 5, 3 + 2**8, 3 + 2**16, 3 + 2**31, 3 + 2**32, 2**61 + 2):
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
@pytest.mark.parametrize("used", ["got", "put again"])
def test_the_least_recently_used_entry_goes_first(subject: Subject, used: str) -> None:
    cache = cache_of(subject, rows=6)
    for k in (1, 2, 3):
        cache.put(name(k), 0, Encoded(float_rows(k, 2)))
    if used == "got":
        cache.get(name(1), 0)
    else:
        cache.put(name(1), 0, Encoded(float_rows(1, 2)))
    cache.put(name(4), 0, Encoded(float_rows(4, 2)))
    assert [cache.get(name(k), 0) is not None for k in (1, 2, 3, 4)] == [True, False, True, True]


def calls_of(rng: random.Random) -> list[tuple[int, int | None]]:
    """Keys that are looked for, and keys with the rows that are put under them."""
    return [(rng.randrange(16), rng.choice([None, None, 1, 2, 3, 5])) for _ in range(200)]


def present_after(cache: Cache, calls: Sequence[tuple[int, int | None]]) -> list[list[int]]:
    """Which keys are there after each tenth call. They are looked for in their order, so that all are used alike."""
    seen = []
    for number, (key, rows) in enumerate(calls):
        if rows is None:
            cache.get(name(key), 0)
        else:
            cache.put(name(key), 0, Encoded(float_rows(key, rows)))
        if number % 10 == 9:
            seen.append([k for k in range(16) if cache.get(name(k), 0) is not None])
    return seen


@pytest.mark.requirement("CACHE-016")
@pytest.mark.parametrize("seed", range(4))
def test_the_same_calls_leave_the_same_entries(subject: Subject, seed: int) -> None:
    """As on the ranks of one engine, of which each has a cache of its own. Nobody seeds what they draw from alike."""
    claimed(subject, Capability.CACHE)
    calls = calls_of(random.Random(seed))
    assert present_after(cache_of(subject, rows=24), calls) == present_after(cache_of(subject, rows=24), calls)


@pytest.mark.requirement("CACHE-011")
@pytest.mark.parametrize("seed", range(4))
def test_of_many_entries_the_least_recently_used_goes_first(subject: Subject, seed: int) -> None:
    claimed(subject, Capability.CACHE)
    rng, cache, order = random.Random(seed), cache_of(subject, rows=12), list[int]()
    for _ in range(200):
        key = rng.randrange(16)
        if rng.random() < 0.5:
            cache.put(name(key), 0, Encoded(float_rows(key, 1)))
            order = [*(k for k in order if k != key), key][-12:]
        else:
            assert (cache.get(name(key), 0) is not None) == (key in order)
            order = [*(k for k in order if k != key), key] if key in order else order


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


@pytest.mark.requirement("CACHE-008")
def test_an_item_that_was_evicted_can_be_cached_again(subject: Subject) -> None:
    """Two images that fit the cache one at a time, in turns; then the last one again."""
    rig = rig_of(subject.implementation, cache_bytes=4 * ROW)
    calls = []
    for turn, seed in enumerate((1, 2, 1, 2, 2, 1, 1)):
        prepared = prepared_of(rig, RequestRecipe(f"r{turn}", (image(seed, 4),)))
        before = len(rig.tower.calls)
        rig.embed.admit(prepared)
        rig.embed.step([Chunk(f"r{turn}", 0, len(prepared.token_ids))]).settle()
        rig.embed.finish(f"r{turn}")
        calls.append(len(rig.tower.calls) - before)
    assert calls == [1, 1, 1, 1, 0, 1, 0]


class FullCache:
    """There is never memory for a copy."""

    nbytes = 0

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        return None

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        raise torch.OutOfMemoryError("no memory for a copy")

    def clear(self) -> None:
        """There is nothing."""


@pytest.mark.requirement("CACHE-015")
def test_rows_that_find_no_memory_fail_nobody(subject: Subject) -> None:
    """Whoever came with them goes on, and gets the rest of them; so does who comes later."""
    rig = rig_of(dataclasses.replace(subject.implementation, cache=lambda runtime: FullCache()))
    whole = expected_rows(TowerRecipe(), image(1), 0, 0)
    for name in ("a", "b", "later"):
        rig.embed.admit(prepared_of(rig, RequestRecipe(name, (image(1),))))
    for chunks in ([Chunk("a", 0, 3), Chunk("b", 0, 5)], [Chunk("a", 3, 5), Chunk("later", 0, 5)]):
        step = rig.embed.step(chunks)
        try:
            lost = step.settle()
        except Exception as error:
            pytest.fail(f"settling raised {error!r}")
        assert not lost, f"settling takes back {lost}"
        for chunk, result in zip(chunks, step.results, strict=True):
            assert isinstance(result, Rows), result
            assert torch.equal(bits_of(result.rows), whole[max(chunk.lo - 1, 0) : chunk.hi - 1])
    for name in ("a", "b", "later"):
        rig.embed.finish(name)


@pytest.mark.requirement("EPOCH-001")
def test_rows_of_a_step_that_settles_after_the_weights_changed_are_not_of_the_new_ones(subject: Subject) -> None:
    """As in an engine that prepares the next step before the last one is settled."""
    claimed(subject, Capability.EPOCHS)
    rig = rig_of(subject.implementation)
    for name, epoch in (("old", 0), ("new", 1)):
        prepared = prepared_of(rig, RequestRecipe(name, (image(1),)))
        rig.embed.admit(prepared)
        step = rig.embed.step([Chunk(name, 0, len(prepared.token_ids))])
        result = step.results[0]
        if epoch == 0:
            rig.tower.epoch = 1
            rig.embed.set_epoch(1)
        step.settle()
    assert isinstance(result, Rows)
    assert torch.equal(bits_of(result.rows), expected_rows(TowerRecipe(), image(1), 1, 0))
