"""Ranks that are lost while a step is under way."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import (
    BadChunk,
    Budgets,
    Cache,
    Capability,
    Chunk,
    Encoded,
    Failure,
    Identity,
    RanksLost,
    Rows,
    UnknownRequest,
)
from plumbline.parts import claimed, image, prepared_of, rig_of
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
    """In the agreement, the gathering or settling; a request that needs no rows goes on, then and later, and a chunk that
    cannot be served says why."""
    claimed(subject, Capability.RANKS)
    tower = TowerRecipe()
    spec = exact_spec(tower)
    budgets, ranks = Budgets(1 << 20, 64, ITEM_PATCHES), MortalRanks(lives)
    rig = build_rig(subject.implementation, ExactTower(tower, spec), spec, budgets, ranks=ranks)
    recipes = [RequestRecipe("image", (image(1),)), RequestRecipe("text", (), tokens=2)]
    prepared = [prepared_of(rig, recipe) for recipe in recipes]
    for one in prepared:
        rig.embed.admit(one)
    ends = {one.request_id: len(one.token_ids) for one in prepared}
    step = rig.embed.step([Chunk("image", 0, ends["image"]), Chunk("text", 0, 1)])
    failures = {f.request_id: f.error for f in (*step.settle(), *(r for r in step.results if isinstance(r, Failure)))}
    assert [type(error) for error in failures.values()] == ([RanksLost] if ranks.lives < 0 else [])
    assert set(failures) <= {"image"}
    assert isinstance(step.results[1], Rows)
    later = rig.embed.step(
        [Chunk("text", 1, ends["text"]), Chunk("image", 0, ends["image"] + 1), Chunk("nobody", 0, 1)]
    )
    found = [type(result.error if isinstance(result, Failure) else result) for result in later.results]
    assert issubclass(found.pop(0), Rows)
    assert found == [BadChunk, UnknownRequest]
    for one in prepared:
        rig.embed.finish(one.request_id)


class ImpatientRanks:
    """One of two ranks in threads, who wait for each other for a second."""

    size = 2

    def __init__(self, rank: int, barrier: threading.Barrier, given: list[Tensor]) -> None:
        self.rank, self._barrier, self._given = rank, barrier, given

    def agree(self, words: Tensor) -> Tensor:
        return torch.stack(self._exchanged(words))

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        return self._exchanged(rows)

    def _exchanged(self, mine: Tensor) -> list[Tensor]:
        self._given[self.rank] = mine.clone()
        try:
            self._barrier.wait(1)
            found = list(self._given)
            self._barrier.wait(1)
        except threading.BrokenBarrierError:
            raise RanksLost("the other rank does not answer") from None
        return found


class FullOnce:
    """A cache without memory for its first copy."""

    def __init__(self, cache: Cache) -> None:
        self._cache, self._full = cache, True

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        if self._full:
            self._full = False
            raise torch.OutOfMemoryError("no memory for a copy")
        return self._cache.put(identity, epoch, encoded)

    def __getattr__(self, name: str) -> object:
        return getattr(self._cache, name)


@pytest.mark.requirement("RANK-003", "RANK-007")
def test_where_one_rank_has_no_memory_for_its_cache_no_rows_are_wrong(subject: Subject) -> None:
    """The other one finds the image again, and needs nobody for it; what comes next needs both, or says that they are lost."""
    claimed(subject, Capability.RANKS, Capability.CACHE)
    made, barrier, given = subject.implementation.cache, threading.Barrier(2), [torch.empty(0)] * 2
    assert made is not None

    def one(rank: int) -> list[type | Tensor]:
        cache = made if rank == 0 else lambda runtime: FullOnce(made(runtime))
        implementation = dataclasses.replace(subject.implementation, cache=cache)
        rig = rig_of(implementation, ranks=ImpatientRanks(rank, barrier, given))
        said: list[type | Tensor] = []
        for k, seed in enumerate((1, 1, 2, 1)):
            prepared = prepared_of(rig, RequestRecipe(f"r{k}", (image(seed),)))
            rig.embed.admit(prepared)
            step = rig.embed.step([Chunk(f"r{k}", 0, len(prepared.token_ids))])
            failed = [*(failure.error for failure in step.settle())]
            result = step.results[0]
            failed += [result.error] if isinstance(result, Failure) else []
            said.append(type(failed[0]) if failed else bits_of(result.rows).clone())  # type: ignore[union-attr]
        return said

    with ThreadPoolExecutor(2) as threads:
        for rank, said in enumerate(threads.map(one, range(2))):
            for k, (seed, got) in enumerate(zip((1, 1, 2, 1), said, strict=True)):
                right = isinstance(got, Tensor) and torch.equal(got, expected_rows(TowerRecipe(), image(seed), 0, 0))
                assert right or got is RanksLost, f"rank {rank}, request {k}: {got}"
