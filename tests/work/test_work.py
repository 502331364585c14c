"""What a step costs beside the tower: bytes of tensors and of objects that it makes, seen from outside."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from plumbline.exact import exact_spec
from plumbline.interface import (
    Budgets,
    Chunk,
    Encoded,
    Item,
    Modality,
    Packed,
    Prepared,
    Request,
    Rows,
    Source,
)
from plumbline.ledger import Ledger
from plumbline.resolve import Subject
from plumbline.rig import Rig, build_rig
from plumbline.scenario import TowerRecipe

EXAMPLES = settings(max_examples=12, database=None, deadline=None, phases=[Phase.generate])
LITTLE = 2**16
"""Bytes for indices, lengths and bookkeeping: less than the smallest payload below, or than what a mistake would cost."""


class Uncounted:
    """A tower of 8 numbers a patch, whose own work no ledger sees."""

    def __init__(self, width: int) -> None:
        self.recipe = TowerRecipe(patch_shape=(width,))
        self.spec, self.epoch, self.ledger = exact_spec(self.recipe), 0, Ledger()

    def __call__(self, packed: Packed) -> Encoded:
        with self.ledger.paused():
            return Encoded(packed.patches[:, :8].clone())


def rig_around(subject: Subject, tower: Uncounted, cache_bytes: int = 1 << 28) -> Rig:
    patches = 1 << 20
    return build_rig(subject.implementation, tower, tower.spec, Budgets(cache_bytes, patches, patches))


def image(tower: Uncounted, patches: int, at: int, strided: bool = False) -> Item:
    (width,) = tower.recipe.patch_shape
    payload = torch.randn(patches, 2 * width)[:, ::2] if strided else torch.randn(patches, width)
    grid = torch.tensor([[1, 1, patches]])
    return Item(Modality.IMAGE, Source.PIXELS, payload, ((at, at + patches),), grid)


@pytest.mark.requirement("WORK-002")
def test_each_payload_byte_is_copied_at_most_once(subject: Subject) -> None:
    tower = Uncounted(4096)
    rig = rig_around(subject, tower)

    @EXAMPLES
    @given(st.lists(st.tuples(st.integers(8, 24), st.booleans()), min_size=1, max_size=6))
    def held(images: list[tuple[int, bool]]) -> None:
        items = [image(tower, patches, 0, strided) for patches, strided in images]
        payload = sum(patches * 4096 * 4 for patches, _ in images)
        tower.ledger = Ledger()
        with tower.ledger as ledger:
            results = rig.encoder.encode(items)
        assert all(isinstance(result, Encoded) for result in results)
        assert ledger.allocated <= payload + LITTLE, f"{ledger.allocated} bytes made for {payload} of payload"

    held()


def admitted(rig: Rig, tower: Uncounted, before: int, patches: int, after: int) -> Prepared:
    ids = torch.zeros(before + patches + after, dtype=torch.int64)
    ids[before : before + patches] = tower.spec.layouts[Modality.IMAGE].placeholder_id
    request = Request(f"{before}-{patches}-{after}", ids, (image(tower, patches, before),))
    (prepared,) = rig.prepare([request])
    assert isinstance(prepared, Prepared), prepared
    rig.embed.admit(prepared)
    return prepared


def cost(rig: Rig, tower: Uncounted, chunk: Chunk) -> tuple[int, int]:
    """Bytes of tensors and of objects that the chunk's step made; of objects, what was there at once."""
    tracemalloc.start()
    tower.ledger = Ledger()
    try:
        with tower.ledger as ledger:
            (result,) = rig.embed.step([chunk]).results
            assert isinstance(result, Rows), result
            assert len(result.positions) == len(result.rows)  # made when they are read, at the latest
        return ledger.allocated, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.requirement("WORK-003")
def test_a_step_does_not_grow_with_the_prompt(subject: Subject) -> None:
    tower = Uncounted(8)
    rig = rig_around(subject, tower)

    @EXAMPLES
    @given(st.integers(2**18, 2**19), st.integers(1, 64), st.integers(2**18, 2**19), st.integers(-64, 128))
    def held(before: int, patches: int, after: int, lo: int) -> None:
        prepared = admitted(rig, tower, before, patches, after)
        chunk = Chunk(prepared.request_id, before + lo, before + lo + 64)
        tensors, objects = cost(rig, tower, chunk)
        rig.embed.finish(prepared.request_id)
        assert tensors + objects <= 2 * LITTLE, f"{tensors} bytes of tensors and {objects} of objects for 64 tokens"

    cost(rig, tower, Chunk(admitted(rig, tower, 8, 4, 8).request_id, 0, 20))  # what is built on first use
    held()


@pytest.mark.requirement("WORK-004")
def test_a_step_copies_no_rows_that_its_chunks_do_not_need(subject: Subject) -> None:
    tower = Uncounted(8)
    rig = rig_around(subject, tower)

    @EXAMPLES
    @given(st.integers(2**14, 2**15), st.integers(4, 2**13), st.integers(1, 64))
    def held(patches: int, lo: int, tokens: int) -> None:
        prepared = admitted(rig, tower, 3, patches, 5)
        cost(rig, tower, Chunk(prepared.request_id, 0, lo))
        tensors, _ = cost(rig, tower, Chunk(prepared.request_id, lo, lo + tokens))
        rig.embed.finish(prepared.request_id)
        assert tensors <= LITTLE, f"{tensors} bytes of tensors for {tokens} rows of {patches}"

    held()


@pytest.mark.requirement("WORK-004")
def test_settling_copies_no_rows_that_nothing_needs_any_more(subject: Subject) -> None:
    """Of images that were delivered whole, where there is no room in a cache."""
    tower = Uncounted(8)
    rig = rig_around(subject, tower, cache_bytes=0)

    @EXAMPLES
    @given(st.lists(st.integers(2**13, 2**14), min_size=1, max_size=4, unique=True))
    def held(images: list[int]) -> None:
        requests = [admitted(rig, tower, 3, patches, 5) for patches in images]
        step = rig.embed.step([Chunk(one.request_id, 0, len(one.token_ids)) for one in requests])
        assert all(isinstance(result, Rows) for result in step.results)
        with Ledger() as ledger:
            step.settle()
        for one in requests:
            rig.embed.finish(one.request_id)
        assert ledger.allocated <= LITTLE, f"{ledger.allocated} bytes of tensors to settle {sum(images)} rows"

    held()
