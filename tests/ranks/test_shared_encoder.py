"""The optimized encoder's share of what can go wrong: whatever happens to one rank, it is in every collective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optimized.ranks import Peers, SharedEncoder, agree, agree_on_errors
from plumbline.build import bits_of
from plumbline.exact import exact_spec
from plumbline.interface import (
    Budgets,
    Encoded,
    EncodingFailed,
    Item,
    LeaseLost,
    PayloadMissing,
    PlumblineError,
    Ranks,
    Runtime,
    Source,
)
from plumbline.parts import image, item_of
from plumbline.rank_threads import Meeting
from plumbline.rig import RecordingPort
from plumbline.scenario import TowerRecipe

SPEC = exact_spec(TowerRecipe(side_levels=1))
RUNTIME = Runtime(SPEC, RecordingPort(SPEC), Budgets(0, 64, 64))
ITEMS = [item_of(image(seed, patches)) for seed, patches in enumerate((3, 1, 4, 4, 2))]

Results = list[Encoded | PlumblineError]


def rows_of(item: Item) -> Encoded:
    assert isinstance(item.payload, torch.Tensor)
    rows = item.payload[:, :1].expand(-1, SPEC.hidden_size).to(SPEC.dtype)
    return Encoded(rows, (-rows,))


class Alone:
    """One of many ranks, of which nobody is there."""

    rank = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def agree(self, words: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def gather(self, rows: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        raise NotImplementedError


class Plain:
    """An encoder of which rank 1 does something else."""

    def __init__(self, ranks: Ranks, instead: Callable[[Sequence[Item]], Results] | None = None) -> None:
        self.instead = instead if ranks.rank == 1 else None

    def encode(self, items: Sequence[Item]) -> Results:
        return self.instead(items) if self.instead else [rows_of(item) for item in items]


def raises(items: Sequence[Item]) -> Results:
    raise MemoryError("no room at all")


def another_dtype(items: Sequence[Item]) -> Results:
    return [Encoded(one.rows.double(), (one.side[0].double(),)) for one in map(rows_of, items)]


def too_few_levels(items: Sequence[Item]) -> Results:
    return [Encoded(rows_of(item).rows) for item in items]


def too_few_results(items: Sequence[Item]) -> Results:
    return [rows_of(item) for item in items[1:]]


class Unheard(PayloadMissing):
    """A class that the interface does not have."""


def strange_error(items: Sequence[Item]) -> Results:
    return [Unheard("\N{SNOWMAN}" * 5000, where="\ud800") for _ in items]


def run(size: int, instead: Callable[[Sequence[Item]], Results] | None = None) -> list[Results]:
    def script(ranks: Ranks) -> Results:
        return SharedEncoder(RUNTIME, Plain(ranks, instead), Peers(ranks)).encode(ITEMS)

    meeting: Meeting[Results] = Meeting(size)
    results = meeting.run(script)
    assert not meeting.diverged
    return [one for one in results if isinstance(one, list)]


@pytest.mark.parametrize("size", [2, 3, 6])
def test_all_ranks_get_all_rows(size: int) -> None:
    for results in run(size):
        for item, result in zip(ITEMS, results, strict=True):
            assert isinstance(result, Encoded)
            assert torch.equal(bits_of(result.rows), bits_of(rows_of(item).rows))
            assert torch.equal(bits_of(result.side[0]), bits_of(rows_of(item).side[0]))


@pytest.mark.parametrize(
    ("instead", "kind"),
    [
        (raises, EncodingFailed),
        (another_dtype, EncodingFailed),
        (too_few_levels, EncodingFailed),
        (too_few_results, EncodingFailed),
        (strange_error, PayloadMissing),
    ],
)
def test_what_one_rank_gets_wrong_all_hear_of(
    instead: Callable[[Sequence[Item]], Results], kind: type[PlumblineError]
) -> None:
    first, *others = run(3, instead)
    bad = [index for index, result in enumerate(first) if not isinstance(result, Encoded)]
    assert bad
    assert {type(first[index]) for index in bad} == {kind}
    assert all("rank 1" in str(first[index]) for index in bad)
    for results in others:
        assert [str(result) for result in results if not isinstance(result, Encoded)] == [str(first[k]) for k in bad]


outcomes = st.one_of(
    st.integers(0, 2**40),
    st.builds(PayloadMissing, st.text(max_size=900), where=st.text(max_size=9)),
    st.builds(LeaseLost, st.text(max_size=9), hint=st.text(max_size=9)),
)


@settings(max_examples=60, database=None, deadline=None)
@given(
    st.integers(0, 4).flatmap(lambda n: st.lists(st.lists(outcomes, min_size=n, max_size=n), min_size=3, max_size=3))
)
def test_all_hear_the_same(said: list[list[int | PlumblineError]]) -> None:
    def script(ranks: Ranks) -> tuple[list[list[str]], list[str]]:
        agreed = agree(ranks, said[ranks.rank])
        errors = [one if isinstance(one, PlumblineError) else None for one in said[ranks.rank]]
        return [[repr(one) for one in row] for row in agreed], [
            repr(one) for one in agree_on_errors(Peers(ranks), errors)
        ]

    meeting: Meeting[tuple[list[list[str]], list[str]]] = Meeting(3)
    first, *others = meeting.run(script)
    assert all(other == first for other in others)
    assert isinstance(first, tuple)
    for rank, (row, heard) in enumerate(zip(said, first[0], strict=True)):
        for one, text in zip(row, heard, strict=True):
            kind = type(one).__name__
            named = text.startswith((f"{kind}('rank {rank}", f'{kind}("rank {rank}'))
            assert named if isinstance(one, PlumblineError) else text == repr(one)
    failed = [any(isinstance(one, PlumblineError) for one in column) for column in zip(*said, strict=True)]
    assert [text != "None" for text in first[1]] == failed


@settings(max_examples=60, database=None, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=20), st.integers(2, 5))
def test_no_rank_has_more_to_do_than_an_item_above_the_mean(patches: list[int], size: int) -> None:
    shared = SharedEncoder(RUNTIME, Plain(Alone(size)), Peers(Alone(size)))
    items = [item_of(image(0, count)) for count in patches]
    costs = [shared.cost(item) for item in items]
    loads = [0] * size
    for owner, cost in zip(shared.owners(items), costs, strict=True):
        loads[owner] += cost
    assert max(loads) - min(loads) <= max(costs, default=0)


@settings(max_examples=60, database=None, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=20), st.lists(st.integers(1, 60), max_size=20), st.integers(2, 5))
def test_rows_that_come_ready_cost_no_rank_an_image(patches: list[int], ready: list[int], size: int) -> None:
    shared = SharedEncoder(RUNTIME, Plain(Alone(size)), Peers(Alone(size)))
    images = [item_of(image(0, count)) for count in patches]
    rows = [replace(item_of(image(0, count)), source=Source.PRECOMPUTED) for count in ready]
    assert shared.owners([*rows, *images])[len(rows) :] == shared.owners(images)


@settings(max_examples=60, database=None, deadline=None)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(2, 5), st.sampled_from([Source.PIXELS, Source.PRECOMPUTED]))
def test_equal_items_are_dealt_out_evenly(patches: int, count: int, size: int, source: Source) -> None:
    shared = SharedEncoder(RUNTIME, Plain(Alone(size)), Peers(Alone(size)))
    owners = shared.owners([replace(item_of(image(0, patches)), source=source)] * count)
    dealt = [owners.count(rank) for rank in range(size)]
    assert max(dealt) - min(dealt) <= 1
