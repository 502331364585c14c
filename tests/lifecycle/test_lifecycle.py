"""What is left when requests are gone."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import random
import weakref

import pytest
import torch

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.feature import LocalFeature
from plumbline.interface import Capability, Chunk, EpochChanged, Failure, LeaseLost, Retention, Rows
from plumbline.parts import About, claimed, identity_of, image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.scenario import Content, ItemRecipe, RequestRecipe, TowerRecipe


def payload_refs(subject: Subject, end: str) -> list[weakref.ref[torch.Tensor]]:
    """Prepares, admits and ends requests in a certain way; returns weak references to their payloads."""
    rig = rig_of(subject.implementation)
    refs = []
    for k in range(3):
        prepared = prepared_of(rig, RequestRecipe(f"r{k}", (image(1), image(2 + k, fault=end == "failed"))))
        refs += [weakref.ref(i.payload) for i in prepared.items if isinstance(i.payload, torch.Tensor)]
        rig.embed.admit(prepared)
    n = len(prepared.token_ids)
    cuts = {
        "done": [(0, 3), (3, n)],
        "aborted in the middle of an item": [(0, 3)],
        "aborted before a step": [],
        "failed": [(0, n)],
    }
    for lo, hi in cuts[end]:
        step = rig.embed.step([Chunk(f"r{k}", lo, hi) for k in range(3)])
        assert all(isinstance(r, Failure if end == "failed" else Rows) for r in step.results)
        step.settle()
    for k in range(3):
        rig.embed.finish(f"r{k}")
    del prepared
    subject_keeps.append(rig)
    return refs


subject_keeps: list[object] = []
"""The parts stay alive while the references are looked at."""


HIDDEN = 40
"""Of no other test, so that its rows can be told from all other tensors."""


def live_rows() -> list[torch.Tensor]:
    gc.collect()
    return [o for o in gc.get_objects() if type(o) is torch.Tensor and o.dim() == 2 and o.shape[1] == HIDDEN]


SHAPES = [(1, 1, 8), (1, 8, 1), (1, 2, 4), (1, 4, 2)]
"""Of as many patches, so that what was known of one image fits the next one that lies where it lay."""


@pytest.mark.requirement("CHUNK-001", "IDENT-003")
def test_requests_that_come_and_go_have_their_own_rows(subject: Subject, about: About) -> None:
    """One after the other, and nothing of one is left when the next comes: ids and addresses of objects are used again."""
    draw, tower = random.Random(0), TowerRecipe()
    rig = rig_of(subject.implementation, tower, cache_bytes=0)
    recipes = [ItemRecipe(grid=grid, parts=(8,), content=Content(k)) for k, grid in enumerate(SHAPES * 2)]
    known = [prepared_of(rig, RequestRecipe("r", (recipe,)), tower) for recipe in recipes]
    for turn in range(200):
        k = draw.randrange(len(known))
        (item,) = known[k].items
        assert isinstance(item.payload, torch.Tensor)
        item = dataclasses.replace(item, payload=item.payload.clone())
        found = identity_of(rig, item)
        with about("IDENT-003"):
            assert found == known[k].identities[0], f"request {turn}"
        rig.embed.admit(dataclasses.replace(known[k], items=(item,)))
        step = rig.embed.step([Chunk("r", 0, len(known[k].token_ids))])
        (result,) = step.results
        step.settle()
        with about("CHUNK-001"):
            assert isinstance(result, Rows), result
            assert torch.equal(bits_of(result.rows), expected_rows(tower, recipes[k], 0, 0)), f"request {turn}"
        rig.embed.finish("r")
        rig.tower.calls.clear()
        del item, step, result


ROWS = ItemRecipe(source="precomputed", grid=None, parts=(8,), content=Content(5))


@pytest.mark.requirement("LIFE-002")
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
@pytest.mark.parametrize("item", [image(1, 8), ROWS], ids=["an image", "precomputed rows"])
def test_what_a_request_came_with_may_be_written_over_once_it_has_ended(
    subject: Subject, item: ItemRecipe, cache_bytes: int
) -> None:
    """Another one that came with an equal item, and was shown the same rows, has its own rows before and after."""
    claimed(subject, *[Capability.PRECOMPUTED] * (item is ROWS))
    tower = TowerRecipe()
    rig = rig_of(subject.implementation, tower, cache_bytes=cache_bytes)
    both = [prepared_of(rig, RequestRecipe(name, (item,)), tower) for name in ("a", "b")]
    for prepared in both:
        rig.embed.admit(prepared)
    n = len(both[0].token_ids)
    step = rig.embed.step([Chunk("a", 0, 3), Chunk("b", 0, 3)])
    step.settle()
    (payload,) = [i.payload for i in both[0].items]
    rig.embed.finish("a")
    assert isinstance(payload, torch.Tensor)
    payload.fill_(77)
    last = rig.embed.step([Chunk("b", 3, n)])
    shown = [step.results[1], last.results[0]]
    rows = [result.rows for result in shown if isinstance(result, Rows)]
    assert len(rows) == 2, shown
    assert torch.equal(bits_of(torch.cat(rows)), expected_rows(tower, item, 0, 0))


@pytest.mark.requirement("ENC-013")
@pytest.mark.parametrize("good", list(itertools.product([True, False], repeat=4)), ids=str)
def test_each_good_payload_of_equal_items_serves_its_own_request(subject: Subject, good: tuple[bool, ...]) -> None:
    """Four requests show one image in one step; the payloads of some of them are gone."""
    claimed(subject, Capability.LAZY)
    tower = TowerRecipe()
    rig = rig_of(subject.implementation, tower)
    for k, there in enumerate(good):
        prepared = prepared_of(rig, RequestRecipe(f"r{k}", (image(1),)), tower)
        (item,) = prepared.items
        assert isinstance(item.payload, torch.Tensor)
        item = dataclasses.replace(item, payload=LocalFeature(item.payload, gone=not there))
        rig.embed.admit(dataclasses.replace(prepared, items=(item,)))
    step = rig.embed.step([Chunk(f"r{k}", 0, len(prepared.token_ids)) for k in range(4)])
    step.settle()
    for k, (there, result) in enumerate(zip(good, step.results, strict=True)):
        if there:
            assert isinstance(result, Rows), f"r{k}: {result}"
        if isinstance(result, Rows):
            assert torch.equal(bits_of(result.rows), expected_rows(tower, image(1), 0, 0)), f"r{k}"


@pytest.mark.requirement("LIFE-010")
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_no_rows_outlive_their_requests_without_a_cache(subject: Subject, steps: int) -> None:
    """Aborted before a chunk, inside an item that two requests share, and at the end; counted from round to round."""
    tower = TowerRecipe(hidden=HIDDEN)
    rig = rig_of(subject.implementation, tower, cache_bytes=0)
    alive = []
    for turn in range(4):
        for k in range(2):
            items = (image(10 * turn + 1), image(10 * turn + 2 + k))
            rig.embed.admit(prepared_of(rig, RequestRecipe(f"r{k}", items), tower))
        for lo, hi in [(0, 3), (3, 11)][:steps]:
            step = rig.embed.step([Chunk(f"r{k}", lo, hi) for k in range(2)])
            assert all(isinstance(r, Rows) for r in step.results)
            step.settle()
            del step
        for k in range(2):
            rig.embed.finish(f"r{k}")
        alive.append(len(live_rows()))
    assert alive[-1] <= alive[1], f"tensors of rows after each round: {alive}"


@pytest.mark.requirement("LIFE-013")
@pytest.mark.parametrize("cut", [3, 8])
def test_no_rows_wait_for_the_end_of_a_request_that_was_served(subject: Subject, cut: int) -> None:
    """Requests that have all their rows and are not finished, as while they decode; counted from request to request. Cut
    inside the first image, or inside the second, and where that ends."""
    if subject.implementation.retention is Retention.ROWS:
        pytest.skip("rows are what it declares to keep")
    tower = TowerRecipe(hidden=HIDDEN)
    rig = rig_of(subject.implementation, tower, cache_bytes=0)
    alive = []
    for turn in range(4):
        prepared = prepared_of(rig, RequestRecipe(f"r{turn}", (image(10 * turn + 1), image(10 * turn + 2))), tower)
        rig.embed.admit(prepared)
        for lo, hi in [(0, cut), (cut, prepared.items[-1].spans[-1][1])]:
            step = rig.embed.step([Chunk(f"r{turn}", lo, hi)])
            assert all(isinstance(r, Rows) for r in step.results)
            step.settle()
            del step
        alive.append(len(live_rows()))
    assert alive[-1] <= alive[1], f"tensors of rows after each request: {alive}"


@pytest.mark.requirement("CACHE-012")
def test_rows_inside_an_item_are_kept_once(subject: Subject) -> None:
    claimed(subject, Capability.CACHE)
    tower = TowerRecipe(hidden=HIDDEN)
    rig = rig_of(subject.implementation, tower, cache_bytes=1 << 20)
    prepared = prepared_of(rig, RequestRecipe("r", (image(1),)), tower)
    rig.embed.admit(prepared)
    step = rig.embed.step([Chunk("r", 0, 3)])
    (result,) = step.results
    assert isinstance(result, Rows)
    step.settle()
    count = sum(hi - lo for lo, hi in prepared.items[0].spans)
    size = count * HIDDEN * result.rows.element_size()
    del step, result
    storages = {rows.untyped_storage().data_ptr(): rows.untyped_storage().nbytes() for rows in live_rows()}
    assert sum(storages.values()) <= size, f"{sum(storages.values())} bytes are kept of rows of {size}"


@pytest.mark.requirement("CACHE-010")
def test_rows_from_behind_a_fence_serve_nobody_later(subject: Subject) -> None:
    """A request reads a payload that is fenced off; the next one has the same content, unfenced, and needs its own."""
    claimed(subject, Capability.LAZY)
    rig = rig_of(subject.implementation)
    whole = prepared_of(rig, RequestRecipe("fenced", (image(1),)))
    (item,) = whole.items
    assert isinstance(item.payload, torch.Tensor)
    for name, fence in (("fenced", True), ("later", False)):
        feature = LocalFeature(item.payload, fence)
        items = (dataclasses.replace(item, payload=feature),)
        rig.embed.admit(dataclasses.replace(whole, request_id=name, items=items))
        step = rig.embed.step([Chunk(name, 0, len(whole.token_ids))])
        lost = step.settle()
        assert [type(f.error) for f in lost] == ([LeaseLost] if fence else [])
        result = step.results[0]
        rig.embed.finish(name)
    assert isinstance(result, Rows)
    assert torch.equal(bits_of(result.rows), expected_rows(TowerRecipe(), image(1), 0, 0))


@pytest.mark.requirement("LIFE-010")
@pytest.mark.parametrize("end", ["done", "aborted in the middle of an item", "aborted before a step", "failed"])
def test_no_payload_outlives_its_request(subject: Subject, end: str) -> None:
    refs = payload_refs(subject, end)
    gc.collect()
    alive = sum(ref() is not None for ref in refs)
    subject_keeps.clear()
    assert refs
    assert not alive, f"{alive} of {len(refs)} payloads are still alive"


@pytest.mark.requirement("EPOCH-001")
@pytest.mark.requirement("EPOCH-002")
@pytest.mark.parametrize("newcomer_first", [False, True])
def test_rows_held_from_other_weights_serve_no_newcomer(subject: Subject, newcomer_first: bool, about: About) -> None:
    """One request is inside an item when the weights change; another one, with the same item, starts in the next step."""
    claimed(subject, Capability.EPOCHS)
    rig = rig_of(subject.implementation)
    for name in ("old", "new"):
        rig.embed.admit(prepared_of(rig, RequestRecipe(name, (image(1),))))
    rig.embed.step([Chunk("old", 0, 3)]).settle()
    rig.tower.epoch = 1
    rig.embed.set_epoch(1)
    chunks = [Chunk("old", 3, 5), Chunk("new", 0, 5)]
    step = rig.embed.step(chunks[::-1] if newcomer_first else chunks)
    results = {r.request_id: r for r in step.results}
    step.settle()
    old, new = results["old"], results["new"]
    with about("EPOCH-001"):
        assert isinstance(new, Rows)
        assert torch.equal(bits_of(new.rows), expected_rows(TowerRecipe(), image(1), 1, 0))
    with about("EPOCH-002"):
        assert isinstance(old, Failure)
        assert isinstance(old.error, EpochChanged)


@pytest.mark.requirement("LIFE-002")
def test_an_end_inside_an_item_takes_nothing_from_those_who_share_it(subject: Subject) -> None:
    """One request is aborted inside an item; one that is as far, and one that comes later, have the same item."""
    rig = rig_of(subject.implementation)
    for name in ("aborted", "beside", "later"):
        rig.embed.admit(prepared_of(rig, RequestRecipe(name, (image(1),))))
    rig.embed.step([Chunk(name, 0, 3) for name in ("aborted", "beside")]).settle()
    rig.embed.finish("aborted")
    step = rig.embed.step([Chunk("beside", 3, 5), Chunk("later", 0, 5)])
    beside, later = step.results
    assert isinstance(beside, Rows)
    assert isinstance(later, Rows)
    whole = expected_rows(TowerRecipe(), image(1), 0, 0)
    assert torch.equal(bits_of(beside.rows), whole[2:])
    assert torch.equal(bits_of(later.rows), whole)
    step.settle()


@pytest.mark.requirement("EPOCH-001")
@pytest.mark.parametrize("epochs", [(2, 1, 2), (5, 0, 5), (1, 2**40, 1)])
def test_weights_that_come_back_have_their_own_rows(subject: Subject, epochs: tuple[int, ...]) -> None:
    """An epoch names a state of the weights, and says nothing of their age: an adapter may be swapped and swapped back."""
    claimed(subject, Capability.EPOCHS)
    rig = rig_of(subject.implementation)
    for turn, epoch in enumerate(epochs):
        rig.tower.epoch = epoch
        rig.embed.set_epoch(epoch)
        prepared = prepared_of(rig, RequestRecipe(f"r{turn}", (image(1),)))
        rig.embed.admit(prepared)
        step = rig.embed.step([Chunk(f"r{turn}", 0, len(prepared.token_ids))])
        (result,) = step.results
        step.settle()
        assert isinstance(result, Rows)
        assert torch.equal(bits_of(result.rows), expected_rows(TowerRecipe(), image(1), epoch, 0))
        rig.embed.finish(f"r{turn}")


STRANGE_IDS = (
    "",
    " ",
    "0",
    "None",
    "r",
    "R",
    "r ",
    "r-0",
    "r-1",
    "r#1",
    "r/1",
    "r\0",
    "caf\u00e9",
    "cafe\u0301",
    "r" * 300,
)


@pytest.mark.requirement("ISO-001")
@pytest.mark.requirement("LIFE-002")
def test_every_other_text_is_another_id(subject: Subject) -> None:
    """Empty, of nearly the same letters, or with what elsewhere separates a number: all at once, each with its own rows."""
    rig = rig_of(subject.implementation)
    for seed, name in enumerate(STRANGE_IDS):
        rig.embed.admit(prepared_of(rig, RequestRecipe(name, (image(seed),))))
    for lo, hi in [(0, 3), (3, 5)]:
        step = rig.embed.step([Chunk(name, lo, hi) for name in STRANGE_IDS])
        for seed, (name, result) in enumerate(zip(STRANGE_IDS, step.results, strict=True)):
            assert isinstance(result, Rows), (name, result)
            wanted = expected_rows(TowerRecipe(), image(seed), 0, 0)[max(lo - 1, 0) : hi - 1]
            assert torch.equal(bits_of(result.rows), wanted), name
        step.settle()
    for name in STRANGE_IDS:
        rig.embed.finish(name)
