"""The encoder as a part: one result for each item, in order, whatever is among them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from plumbline.bench import expected_rows
from plumbline.build import bits_of, with_strides
from plumbline.exact import ExactTower, exact_spec, fault
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.feature import LocalFeature
from plumbline.interface import (
    Budgets,
    Capability,
    Encoded,
    EncodingFailed,
    Packed,
    PayloadMissing,
    PlumblineError,
    TowerSpec,
)
from plumbline.parts import About, claimed, image, item_of, rig_of
from plumbline.resolve import Subject
from plumbline.rig import Place, RecordingPort, build_rig
from plumbline.scenario import Content, ItemRecipe, TowerRecipe


@pytest.mark.requirement("ENC-009")
@pytest.mark.parametrize("patches", [4, 16, 1000])
def test_results_are_one_for_each_item_in_order(subject: Subject, patches: int) -> None:
    rig = rig_of(subject.implementation, patches=patches)
    recipes = [
        image(1, 9),
        image(2, 2),
        image(3, 4, fault=True),
        image(1, 9),
        image(4, 1, dtype="bfloat16"),
        image(5, 5),
    ]
    items = [item_of(r) for r in recipes]
    items.insert(2, dataclasses.replace(items[1], payload=None))
    results = rig.encoder.encode(items)
    assert len(results) == len(items)
    assert isinstance(results[2], PayloadMissing)
    assert isinstance(results[3], EncodingFailed)
    del results[2]
    for recipe, result in zip(recipes, results, strict=True):
        if not recipe.fault:
            assert isinstance(result, Encoded), result
            assert torch.equal(bits_of(result.rows), expected_rows(TowerRecipe(), recipe, 0, 0))


def with_side_rows(subject: Subject) -> TowerRecipe:
    """Of two levels, which can be taken for each other, where the subject has any."""
    return TowerRecipe(side_levels=2 if Capability.SIDE_ROWS in subject.implementation.capabilities else 0)


def rows(seed: int) -> ItemRecipe:
    """Of the caller's."""
    return ItemRecipe(source="precomputed", grid=None, parts=(3,), content=Content(seed))


def right(tower: TowerRecipe, recipe: ItemRecipe, result: object) -> bool:
    levels = (result.rows, *result.side) if isinstance(result, Encoded) else ()
    wanted = [expected_rows(tower, recipe, 0, level) for level in range(1 + tower.side_levels)]
    return len(levels) == len(wanted) and all(torch.equal(bits_of(a), b) for a, b in zip(levels, wanted, strict=True))


@pytest.mark.requirement("ENC-006")
@pytest.mark.requirement("ENC-012")
def test_only_what_needs_the_faulty_item_fails(subject: Subject) -> None:
    """Whatever is packed with it, before it and after it, in one call or in several. The others have their own rows."""
    tower = with_side_rows(subject)
    for patches in (4, 9, 1000):
        rig = rig_of(subject.implementation, tower, patches=patches)
        recipes = [image(seed, 4, fault=seed in (2, 5)) for seed in range(1, 8)] + [image(8, 2), image(9, 1)]
        results = rig.encoder.encode([item_of(r, tower) for r in recipes])
        for recipe, result in zip(recipes, results, strict=True):
            good = isinstance(result, EncodingFailed) if recipe.fault else right(tower, recipe, result)
            assert good, (patches, recipe, result)


@pytest.mark.requirement("ENC-013")
@pytest.mark.parametrize("gone", [0, 2, 4])
def test_a_payload_that_cannot_be_opened_fails_alone(subject: Subject, gone: int) -> None:
    """Of items that could be taken for each other, in one call."""
    claimed(subject, Capability.LAZY)
    tower = with_side_rows(subject)
    rig = rig_of(subject.implementation, tower, patches=1000)
    recipes = [image(seed, 4) for seed in range(1, 6)]
    items = [item_of(r, tower) for r in recipes]
    for index, item in enumerate(items):
        assert isinstance(item.payload, torch.Tensor)
        items[index] = dataclasses.replace(item, payload=LocalFeature(item.payload, gone=index == gone))
    for index, (recipe, result) in enumerate(zip(recipes, rig.encoder.encode(items), strict=True)):
        good = isinstance(result, PayloadMissing) if index == gone else right(tower, recipe, result)
        assert good, (index, result)


@pytest.mark.requirement("ITEM-010", "IDENT-003")
@pytest.mark.parametrize("strides", ["contiguous", "columns", "gaps", "offset"])
def test_a_tensor_that_is_written_anew_is_another_payload(subject: Subject, strides: str, about: About) -> None:
    """One buffer for one image after the other, each sent when the one before it has been encoded."""
    rig = rig_of(subject.implementation)
    items = [item_of(image(seed)) for seed in (1, 2, 1, 3)]
    assert isinstance(items[0].payload, Tensor)
    buffer = with_strides(items[0].payload.clone(), strides)
    for seed, item in zip((1, 2, 1, 3), items, strict=True):
        assert isinstance(item.payload, Tensor)
        buffer.copy_(item.payload)
        again = dataclasses.replace(item, payload=buffer)
        with about("IDENT-003"):
            assert rig.identify([again]) == rig.identify([item])
        (result,) = rig.encoder.encode([again])
        with about("ITEM-010"):
            assert right(TowerRecipe(), image(seed), result), f"image {seed}"


@pytest.mark.requirement("ENC-009")
def test_nothing_to_encode_gives_nothing(subject: Subject) -> None:
    assert list(rig_of(subject.implementation).encoder.encode([])) == []


@pytest.mark.requirement("ENC-001")
@pytest.mark.requirement("ENC-005")
def test_an_item_has_the_same_rows_alone_and_in_any_company(subject: Subject) -> None:
    tower = dataclasses.replace(with_side_rows(subject), merge=2)
    recipes = [
        ItemRecipe(modality=m, grid=(t, 2 * h, 2 * w), parts=(t * 4 * h * w,), content=Content(s))
        for m, t, h, w, s in [
            ("image", 1, 1, 1, 1),
            ("image", 1, 2, 1, 2),
            ("image", 1, 1, 3, 1),
            ("image", 1, 2, 2, 1),
        ]
    ]
    rig = rig_of(subject.implementation, tower, patches=1000)
    alone = {r: rig.encoder.encode([item_of(r, tower)])[0] for r in recipes}
    for shift in range(len(recipes)):
        order = recipes[shift:] + recipes[:shift] + recipes[shift : shift + 1]
        for recipe, result in zip(order, rig.encoder.encode([item_of(r, tower) for r in order]), strict=True):
            single = alone[recipe]
            assert isinstance(result, Encoded)
            assert isinstance(single, Encoded)
            for a, b in zip((result.rows, *result.side), (single.rows, *single.side), strict=True):
                assert torch.equal(bits_of(a), bits_of(b))


@pytest.mark.requirement("ENC-001", "ENC-009")
@pytest.mark.parametrize("rows_per_tile", [1, 3])
def test_images_of_different_numbers_of_tiles_keep_their_rows(subject: Subject, rows_per_tile: int) -> None:
    """In one call, whose rows could also be dealt out evenly; an image may be a single tile, or several tensors."""
    claimed(subject, Capability.TILES)
    tower = dataclasses.replace(with_side_rows(subject), image="tiles", rows_per_tile=rows_per_tile)
    for divisions in ([(1,), (3,), (2,)], [(1,), (1, 2), (4,), (3, 1)], [(5,), (1,)]):
        recipes = [ItemRecipe(grid=None, parts=parts, content=Content(seed)) for seed, parts in enumerate(divisions)]
        results = rig_of(subject.implementation, tower).encoder.encode([item_of(recipe, tower) for recipe in recipes])
        for recipe, result in zip(recipes, results, strict=True):
            assert right(tower, recipe, result), f"tiles {recipe.parts} beside {divisions}: {result}"


@pytest.mark.requirement("ENC-002", "ENC-003")
@pytest.mark.parametrize("over", [0, 1])
def test_what_fills_the_budget_exactly_is_one_call_and_what_exceeds_it_is_not(subject: Subject, over: int) -> None:
    claimed(subject, Capability.BATCHING)
    sizes = (9, 2, 4, 5)
    rig = rig_of(subject.implementation, patches=sum(sizes) - over)
    rig.encoder.encode([item_of(image(seed, patches)) for seed, patches in enumerate(sizes)])
    calls = [call.patches for call in rig.tower.calls]
    assert sum(calls) == sum(sizes)
    assert len(calls) == 1 + over


@pytest.mark.requirement("ENC-002", "ENC-003")
def test_images_that_fit_one_call_are_in_one_whatever_else_there_is(
    subject: Subject, request: pytest.FixtureRequest
) -> None:
    """Images and videos of any sizes and order, under any budget."""
    claimed(subject, Capability.BATCHING, Capability.VIDEO)
    draw = random.Random(request.config.option.plumbline_seed)
    for _ in range(200):
        budget = draw.randrange(8, 40)
        kinds = [draw.choice(["image", "video"]) for _ in range(draw.randrange(2, 8))]
        recipes = [image(seed, draw.randrange(1, budget), modality=kind) for seed, kind in enumerate(kinds)]
        rig = rig_of(subject.implementation, patches=budget)
        rig.encoder.encode([item_of(recipe) for recipe in recipes])
        said = [(recipe.modality, sum(recipe.parts)) for recipe in recipes]
        assert all(call.patches <= budget for call in rig.tower.calls), f"{said}, budget {budget}"
        for kind in set(kinds):
            calls = sum(any(item[0] == kind for item in call.items) for call in rig.tower.calls)
            fits = sum(size for one, size in said if one == kind) <= budget
            assert calls == 1 or not fits, f"{calls} calls with a share of the {kind}s of {said}, budget {budget}"


@pytest.mark.requirement("ENC-002", "ENC-012")
@pytest.mark.parametrize("failures", [1, 3])
def test_a_call_that_failed_changes_no_later_one(subject: Subject, failures: int) -> None:
    """Whatever an encoder tries when there is no memory: what fitted into one call before fits into one afterwards."""
    claimed(subject, Capability.BATCHING)
    sizes = (9, 2, 4, 5)
    rig = rig_of(subject.implementation, patches=sum(sizes))
    for seed in range(failures):
        results = rig.encoder.encode([item_of(image(seed, 4, fault=True)), item_of(image(seed, 5))])
        assert isinstance(results[0], EncodingFailed)
    before = len(rig.tower.calls)
    recipes = [image(seed, patches) for seed, patches in enumerate(sizes)]
    results = rig.encoder.encode([item_of(recipe) for recipe in recipes])
    assert all(right(TowerRecipe(), recipe, result) for recipe, result in zip(recipes, results, strict=True))
    assert [call.patches for call in rig.tower.calls[before:]] == [sum(sizes)]


class Silent(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("it cannot even say what it is")


def ring() -> Exception:
    error = RuntimeError("of itself")
    error.__cause__ = error
    return error


ODD = {
    "silent": Silent,
    "its own cause": ring,
    "a group": lambda: ExceptionGroup("several", [RuntimeError("one"), ring()]),
    "half a character": lambda: RuntimeError("\ud83d"),
    **{f"fault {number}": partial(fault, number) for number in range(6)},
}


class RaisesOnFaults:
    """The exact tower, but for what it raises."""

    def __init__(self, tower: ExactTower, error: Callable[[], Exception]) -> None:
        self._tower, self._error = tower, error
        self.spec, self.epoch = tower.spec, tower.epoch

    def __call__(self, packed: Packed) -> Encoded:
        try:
            return self._tower(packed)
        except Exception:
            error = self._error()
        raise error


@pytest.mark.requirement("ENC-006", "ISO-003")
@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_tower_raises_fails_its_item_alone(subject: Subject, kind: str) -> None:
    spec = exact_spec(TowerRecipe())
    tower = RaisesOnFaults(ExactTower(TowerRecipe(), spec), ODD[kind])
    rig = build_rig(subject.implementation, tower, spec, Budgets(0, 64, 64))
    recipes = [image(1), image(2, fault=True), image(3)]
    with watchdog(HANG_SECONDS):
        first, failed, last = rig.encoder.encode([item_of(r) for r in recipes])
    assert isinstance(failed, EncodingFailed), failed
    assert str(failed)
    for recipe, found in ((recipes[0], first), (recipes[2], last)):
        assert isinstance(found, Encoded), found
        assert torch.equal(bits_of(found.rows), expected_rows(TowerRecipe(), recipe, 0, 0))


class Overfull(RecordingPort):
    """There is no room on the device for what begins with a certain number."""

    def __init__(self, spec: TowerSpec, struck: float) -> None:
        super().__init__(spec)
        self.struck = struck

    def move(self, tensor: Tensor) -> Tensor:
        if tensor.dim() > 1 and (tensor == self.struck).any():
            raise torch.OutOfMemoryError("no room on the device")
        return super().move(tensor)


class OverfullPlace(Place):
    def __init__(self, struck: float) -> None:
        self.struck = struck

    def port(self, spec: TowerSpec) -> Overfull:
        return Overfull(spec, self.struck)


@pytest.mark.requirement("ENC-014")
@pytest.mark.parametrize("struck", [1, 3])
@pytest.mark.parametrize("patches", [4, 1000])
def test_what_cannot_be_moved_fails_alone(subject: Subject, struck: int, patches: int) -> None:
    """An image, or rows of the caller's, among others."""
    claimed(subject, Capability.PRECOMPUTED)
    spec, number = exact_spec(TowerRecipe()), 12345.0
    tower = ExactTower(TowerRecipe(), spec)
    rig = build_rig(subject.implementation, tower, spec, Budgets(0, patches, 64), OverfullPlace(number))
    recipes = [image(1), image(2), rows(3), rows(4), image(5)]
    items = [item_of(recipe) for recipe in recipes]
    payload = items[struck].payload
    assert isinstance(payload, Tensor)
    payload[0, 0] = number
    for index, (recipe, found) in enumerate(zip(recipes, rig.encoder.encode(items), strict=True)):
        if index == struck:
            assert isinstance(found, PlumblineError), found
        else:
            assert isinstance(found, Encoded), found
            assert torch.equal(bits_of(found.rows), expected_rows(TowerRecipe(), recipe, 0, 0))


class Unreadable(LocalFeature):
    def __init__(self, payload: Tensor, error: Callable[[], Exception]) -> None:
        super().__init__(payload)
        self._error = error

    def open(self, device: torch.device) -> Tensor:
        raise self._error()


AWAY: dict[str, Callable[[Tensor], LocalFeature | None]] = {
    "gone": partial(LocalFeature, gone=True),
    "away": lambda _: None,
    **{name: partial(Unreadable, error=error) for name, error in ODD.items()},
}


@pytest.mark.requirement("ENC-014")
@pytest.mark.parametrize("struck", range(5))
@pytest.mark.parametrize("how", AWAY)
def test_whatever_opening_raises_fails_its_item_alone(subject: Subject, how: str, struck: int) -> None:
    """Images, and rows of the caller's, in one call."""
    claimed(subject, Capability.LAZY, Capability.PRECOMPUTED)
    rig = rig_of(subject.implementation)
    recipes = [image(1), rows(2), image(3), rows(4), rows(5)]
    items = [item_of(recipe) for recipe in recipes]
    for index, item in enumerate(items):
        assert isinstance(item.payload, Tensor)
        make = AWAY[how] if index == struck else LocalFeature
        items[index] = dataclasses.replace(item, payload=make(item.payload))
    for index, (recipe, found) in enumerate(zip(recipes, rig.encoder.encode(items), strict=True)):
        if index == struck:
            assert isinstance(found, PlumblineError), found
        else:
            assert right(TowerRecipe(), recipe, found)
