"""Preparation beyond generated workloads: every kind of malformed request, counts over a batch, storage."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import time
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from plumbline.build import bits_of, build_request, payload_of
from plumbline.closed_form import placeholder_id
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import (
    BadExtra,
    Budgets,
    Capability,
    DuplicateRequest,
    Extra,
    Failure,
    Identity,
    Item,
    Modality,
    PlumblineError,
    Prepared,
    Request,
    Source,
)
from plumbline.ledger import Ledger
from plumbline.malformed import FAULTS, break_request
from plumbline.parts import claimed, image, rig_of
from plumbline.resolve import Subject
from plumbline.rig import Rig, build_rig
from plumbline.scenario import Content, GivenRecipe, ItemRecipe, RequestRecipe, TowerRecipe

TILES = TowerRecipe(image="tiles", rows_per_tile=2)
BASES = {
    "image": (TowerRecipe(), (image(1),)),
    "two images": (TowerRecipe(), (image(1), image(2))),
    "merged": (TowerRecipe(merge=2), (ItemRecipe(grid=(1, 2, 6), parts=(12,), content=Content(1)),)),
    "video": (TowerRecipe(), (ItemRecipe(modality="video", grid=(2, 1, 3), parts=(6,), content=Content(1)),)),
    "tiles": (TILES, (ItemRecipe(grid=None, parts=(2, 1), content=Content(1)),)),
    "one tile": (TILES, (ItemRecipe(grid=None, parts=(3,), content=Content(1)),)),
    "rows": (TowerRecipe(), (ItemRecipe(source="precomputed", grid=None, parts=(3,), content=Content(1)),)),
    "side rows": (
        TowerRecipe(side_levels=1),
        (ItemRecipe(source="precomputed", grid=None, parts=(3,), content=Content(1)),),
    ),
    "bundle": (TowerRecipe(), (image(1), image(2, 3))),
    "no tiles": (TILES, (ItemRecipe(grid=None, parts=(0,)),)),
    "text": (TowerRecipe(), ()),
    "placeholder beyond a gap": (TowerRecipe(placeholder_beyond_vocabulary=True), (image(1),)),
}
NEEDS = {
    "video": {Capability.VIDEO},
    "tiles": {Capability.TILES},
    "one tile": {Capability.TILES},
    "no tiles": {Capability.TILES},
    "rows": {Capability.PRECOMPUTED},
    "side rows": {Capability.PRECOMPUTED, Capability.SIDE_ROWS},
}


def of(*requirements: str) -> list[str]:
    """Faults that these requirements refuse."""
    return [name for name, fault in FAULTS.items() if fault.requirement in requirements]


CORE = sorted({fault.requirement for fault in FAULTS.values()} - {"PREP-015", "PREP-027"})


@pytest.mark.requirement("ISO-002", "ISO-003", "PREP-006", *CORE)
@pytest.mark.parametrize("name", of(*CORE))
def test_a_malformed_request_is_refused_with_its_error_and_alone(
    subject: Subject, name: str, record_property: pytest.RecordProperty
) -> None:
    refuse(subject, name, record_property)


@pytest.mark.requirement("ISO-003", "PREP-015")
@pytest.mark.parametrize("name", of("PREP-015"))
def test_malformed_extras_are_refused(subject: Subject, name: str, record_property: pytest.RecordProperty) -> None:
    claimed(subject, Capability.EXTRAS)
    refuse(subject, name, record_property)


@pytest.mark.requirement("ISO-003", "PREP-027")
@pytest.mark.parametrize("name", of("PREP-027"))
def test_malformed_caller_keys_are_refused(subject: Subject, name: str, record_property: pytest.RecordProperty) -> None:
    claimed(subject, Capability.CALLER_KEYS)
    refuse(subject, name, record_property)


def refuse(subject: Subject, name: str, record_property: pytest.RecordProperty) -> None:
    """In the first item and in the last, of every base request that it applies to."""

    def check(requirement: str, holds: bool, message: str) -> None:
        if not holds:
            record_property("broken", requirement)
            pytest.fail(message)

    fault = FAULTS[name]
    applied = 0
    for base, at in itertools.product(BASES, (0, -1)):
        tower, items = BASES[base]
        if NEEDS.get(base, set()) - subject.implementation.capabilities:
            continue
        rig = rig_of(subject.implementation, tower)
        request = build_request(tower, RequestRecipe("bad", items, bundle=base == "bundle"))
        broken = break_request(request, name, rig.runtime.spec, at)
        if broken is None:
            continue
        applied += 1
        good = [build_request(tower, RequestRecipe(n, items)) for n in ("before", "after")]
        try:
            results = rig.prepare([good[0], broken, good[1]])
        except Exception as error:
            check(fault.requirement, False, f"{base}: prepare raised {error!r}")
        ids = [getattr(r, "request_id", None) for r in results]
        check("PREP-006", ids == ["before", "bad", "after"], f"{base}: results of {ids}")
        before, refused, after = results
        if not isinstance(before, Prepared) or not isinstance(after, Prepared):
            check("ISO-002", False, f"{base}: its neighbours got {before!r} and {after!r}")
        else:
            same = after.identities == before.identities and torch.equal(after.prefix_keys, before.prefix_keys)
            check("ISO-002", same, f"{base}: the request after it has other identities than the one before")
        error = refused.error if isinstance(refused, Failure) else None
        check(
            fault.requirement, isinstance(error, fault.errors), f"{base}: {name} gave {error or 'a prepared request'!r}"
        )
        [again] = rig.prepare([dataclasses.replace(broken, request_id="again")])
        for result in (refused, again):
            if isinstance(result, Failure):
                said = f"{base}: of {result.request_id}, where: {result.error.where!r}"
                check("ISO-003", result.request_id in result.error.where, said)
    if not applied:
        pytest.skip(f"{name} needs what is not claimed")


@pytest.mark.requirement("PREP-009")
def test_the_second_request_with_an_id_is_refused(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    requests = [build_request(TowerRecipe(), RequestRecipe(n, (image(k),))) for k, n in enumerate(["a", "b", "a", "c"])]
    results = rig.prepare(requests)
    assert [isinstance(r, Prepared) for r in results] == [True, True, False, True]
    refused = results[2]
    assert isinstance(refused, Failure)
    assert isinstance(refused.error, DuplicateRequest)
    assert results[0].request_id == "a"


@pytest.mark.requirement("PREP-009")
def test_the_id_of_a_refused_request_is_in_use(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    good = build_request(TowerRecipe(), RequestRecipe("a", (image(1),)))
    broken = break_request(good, "payload_none", rig.runtime.spec)
    assert broken is not None
    first, second = rig.prepare([broken, good])
    assert isinstance(first, Failure)
    assert isinstance(second, Failure), "two results of one id, of which one is a failure and one is not"
    assert isinstance(second.error, DuplicateRequest)


@pytest.mark.requirement("ISO-002", "PREP-006")
@pytest.mark.parametrize("at", range(6))
def test_an_item_without_an_identity_fails_its_own_request(subject: Subject, at: int) -> None:
    """Three requests of one, two and three images in one call, and an ``identify`` that has an error for one of the six."""
    assert subject.implementation.prepare
    rig = rig_of(subject.implementation)
    error = BadExtra("no identity", where="here")

    def identify(items: Sequence[Item]) -> list[Identity | PlumblineError]:
        seeds = [int(item.payload[0, 0].view(torch.int32)) for item in items]  # type: ignore[index, union-attr]
        return [error if seed == refused else one for seed, one in zip(seeds, rig.identify(items), strict=True)]

    images = [image(seed) for seed in range(1, 7)]
    recipes = [
        RequestRecipe("a", (images[0],)),
        RequestRecipe("b", tuple(images[1:3])),
        RequestRecipe("c", tuple(images[3:])),
    ]
    requests = [build_request(TowerRecipe(), recipe) for recipe in recipes]
    alone = [rig.prepare([request])[0] for request in requests]
    refused = int(bits_of(payload_of(TowerRecipe(), images[at])[0])[0, 0])
    results = subject.implementation.prepare(rig.runtime, identify)(requests)
    owner = "abbccc"[at]
    for request, result, expected in zip(requests, results, alone, strict=True):
        assert isinstance(expected, Prepared)
        assert result.request_id == request.request_id
        if request.request_id == owner:
            assert isinstance(result, Failure), f"item {at} has no identity"
        else:
            assert isinstance(result, Prepared), result
            assert result.identities == expected.identities
            assert torch.equal(result.prefix_keys, expected.prefix_keys)


@pytest.mark.requirement("PREP-011")
def test_each_item_of_a_batch_is_identified_once(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    requests = [
        build_request(TowerRecipe(), RequestRecipe("a", (image(1), image(2), image(1)), bundle=True)),
        build_request(TowerRecipe(), RequestRecipe("b", (image(3),))),
    ]
    rig.prepare(requests)
    assert rig.identify.items == 4


@pytest.mark.requirement("PREP-003")
def test_token_ids_survive_whatever_they_are(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    request = build_request(TowerRecipe(), RequestRecipe("a", (image(1),), gaps=(3,)))
    ids = request.token_ids.clone()
    ids[0], ids[1] = 0, 60
    prepared = rig.prepare([dataclasses.replace(request, token_ids=ids)])[0]
    assert isinstance(prepared, Prepared)
    assert torch.equal(prepared.token_ids, ids)


@pytest.mark.requirement("PREP-016")
def test_the_items_of_a_bundle_share_its_storage(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    request = build_request(TowerRecipe(), RequestRecipe("a", (image(1), image(2)), bundle=True))
    prepared = rig.prepare([request])[0]
    assert isinstance(prepared, Prepared)
    storages = {i.payload.untyped_storage().data_ptr() for i in prepared.items}  # type: ignore[union-attr]
    assert len(storages) == 1


@pytest.mark.requirement("PREP-005")
def test_a_shared_extra_as_long_as_the_bundle_stays_whole(subject: Subject) -> None:
    from plumbline.interface import Extra

    claimed(subject, Capability.EXTRAS)
    rig = rig_of(subject.implementation)
    request = build_request(TowerRecipe(), RequestRecipe("a", (image(1), image(2)), bundle=True))
    shared, own = torch.tensor([7, 8]), (torch.tensor([1]), torch.tensor([2]))
    extras = {"shared": Extra(shared, True), "own": Extra(own, True, per_image=True)}
    bundle = dataclasses.replace(request.items[0], extras=extras)
    prepared = rig.prepare([dataclasses.replace(request, items=(bundle,))])[0]
    assert isinstance(prepared, Prepared)
    for k, item in enumerate(prepared.items):
        assert torch.equal(item.extras["shared"].value, shared)  # type: ignore[arg-type]
        assert torch.equal(item.extras["own"].value, own[k])  # type: ignore[arg-type]


@pytest.mark.requirement("ISO-001", "PREP-010")
def test_a_bundle_larger_than_the_bound_for_one_item_is_welcome(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    request = build_request(TowerRecipe(), RequestRecipe("a", (image(1, 60), image(2, 96), image(3, 90)), bundle=True))
    assert len(request.items) == 1
    assert isinstance(rig.prepare([request])[0], Prepared)


@pytest.mark.requirement("PREP-002")
@pytest.mark.parametrize("merge", [1, 2])
def test_a_bundle_of_precomputed_rows_is_cut_where_its_images_end(subject: Subject, merge: int) -> None:
    tower = TowerRecipe(merge=merge)
    widths = (2, 6, 4)
    items = tuple(
        ItemRecipe(source="precomputed", grid=(1, merge, w * merge), parts=(w,), content=Content(w)) for w in widths
    )
    rig = rig_of(subject.implementation, tower)
    request = build_request(tower, RequestRecipe("a", items, bundle=True))
    assert len(request.items) == 1
    prepared = rig.prepare([request])[0]
    assert isinstance(prepared, Prepared), prepared
    for item, recipe in zip(prepared.items, items, strict=True):
        assert isinstance(item.payload, torch.Tensor)
        assert torch.equal(bits_of(item.payload), bits_of(payload_of(tower, recipe)[0]))


@pytest.mark.requirement("PREP-001")
@pytest.mark.requirement("IDENT-008")
def test_each_image_of_a_bundle_has_its_own_caller_key(subject: Subject) -> None:
    claimed(subject, Capability.CALLER_KEYS)
    keys = [GivenRecipe("t", "first", True), GivenRecipe("t", "second", True), GivenRecipe("u", "third", True)]
    items = tuple(image(1, given=key) for key in keys)
    rig = rig_of(subject.implementation)
    request = build_request(TowerRecipe(), RequestRecipe("a", items, bundle=True))
    assert len(request.items[0].given) == 3
    prepared = rig.prepare([request])[0]
    assert isinstance(prepared, Prepared), prepared
    assert [i.given for i in prepared.items] == [(k,) for k in request.items[0].given]
    assert len(set(prepared.identities)) == 3


@pytest.mark.requirement("PREP-024")
def test_a_call_that_was_interrupted_leaves_nothing_for_the_next(subject: Subject) -> None:
    """By what ``identify`` raises where it should return: a signal's exception, or one of its own."""
    assert subject.implementation.prepare
    rig = rig_of(subject.implementation)
    requests = [build_request(TowerRecipe(), RequestRecipe(f"r{k}", (image(k), image(9)))) for k in range(3)]
    expected = [rig.prepare([request])[0] for request in requests]
    armed: list[BaseException] = []

    def identify(items: Sequence[Item]) -> list[Identity | PlumblineError]:
        if armed:
            raise armed.pop()
        return rig.identify(items)

    prepare = subject.implementation.prepare(rig.runtime, identify)
    for interruption in (KeyboardInterrupt(), MemoryError(), RuntimeError("the pool of threads has ended")):
        armed.append(interruption)
        with contextlib.suppress(Exception, KeyboardInterrupt):
            prepare(requests[:2])
        assert not armed, "it identified nothing"
        for request, wanted in zip(reversed(requests), reversed(expected), strict=True):
            (found,) = prepare([request])
            assert isinstance(found, Prepared)
            assert isinstance(wanted, Prepared)
            assert found.identities == wanted.identities
            assert torch.equal(found.prefix_keys, wanted.prefix_keys)


def large_request(shape: str, count: int) -> Request:
    """With so many images or frames, each in a span of its own, or with eight times so many tokens."""
    ids = torch.tensor([1, placeholder_id(TowerRecipe(), "image")] * count)
    spans = tuple((2 * k + 1, 2 * k + 2) for k in range(count))
    if shape == "long text":
        return Request("r", ids[:1].repeat(count * 8), ())
    modality, grid = Modality.IMAGE, torch.ones(count, 3, dtype=torch.int64)
    if shape == "one video":
        modality, grid = Modality.VIDEO, torch.tensor([[count, 1, 1]])
        ids[1::2] = placeholder_id(TowerRecipe(), "video")
    return Request("r", ids, (Item(modality, Source.PIXELS, torch.zeros(count, 3), spans, grid),))


def rig_for_large_requests(subject: Subject) -> Rig:
    spec = exact_spec(TowerRecipe())
    return build_rig(subject.implementation, ExactTower(TowerRecipe(), spec), spec, Budgets(0, 64, 1 << 20))


@pytest.mark.requirement("PREP-025")
@pytest.mark.parametrize("shape", ["many images", "one video", "long text"])
def test_preparing_takes_memory_in_proportion(subject: Subject, shape: str) -> None:
    """Of a valid request that is four times as large, less than eight times as much."""
    if shape == "one video":
        claimed(subject, Capability.VIDEO)
    rig = rig_for_large_requests(subject)
    taken = []
    for count in (500, 2000):
        given = large_request(shape, count)
        tracemalloc.start()
        try:
            with Ledger() as ledger:
                (found,) = rig.prepare([given])
            taken.append(tracemalloc.get_traced_memory()[1] + ledger.allocated)
        finally:
            tracemalloc.stop()
        assert isinstance(found, Prepared), found
    assert taken[1] < 8 * taken[0], taken


@pytest.mark.requirement("PREP-025")
def test_preparing_takes_time_in_proportion(subject: Subject) -> None:
    """Of a clip of four times as many frames, in as many spans, less than eight times as much: the least of three turns."""
    claimed(subject, Capability.VIDEO)
    rig = rig_for_large_requests(subject)
    taken = []
    for count in (16_000, 64_000):
        turns = []
        for _ in range(3):
            given = large_request("one video", count)
            began = time.thread_time()
            (found,) = rig.prepare([given])
            turns.append(time.thread_time() - began)
            assert isinstance(found, Prepared), found
        taken.append(min(turns))
    assert taken[1] < 8 * max(taken[0], 0.01), f"{taken} seconds of the processor"


class Level(enum.IntEnum):
    HIGH = 2


class Kind(str, enum.Enum):  # noqa: UP042  # prints as Kind.CROP, which a StrEnum does not
    CROP = "crop"


SUBCLASSES: dict[str, tuple[object, object]] = {
    "number of numpy": (np.float64(0.1), 0.1),
    "text of numpy": (np.str_("é"), "é"),
    "bytes of numpy": (np.bytes_(b"a\0b"), b"a\0b"),
    "enumeration": (Level.HIGH, 2),
    "enumeration of texts": (Kind.CROP, "crop"),
}


@pytest.mark.requirement("PREP-026")
@pytest.mark.parametrize("name", SUBCLASSES)
@pytest.mark.parametrize("per_image", [False, True])
def test_a_value_of_a_subclass_is_the_plain_value(subject: Subject, name: str, per_image: bool) -> None:
    """Beside extras that count and that do not."""
    rig = rig_of(subject.implementation)
    request = build_request(TowerRecipe(), RequestRecipe("r", (image(1),)))

    def identities(value: object) -> tuple[Identity, ...]:
        value = (value,) if per_image else value
        extras = {"fps": Extra(value, True, per_image), "note": Extra(value, False, per_image)}
        item = dataclasses.replace(request.items[0], extras=extras)
        [result] = rig.prepare([dataclasses.replace(request, items=(item,))])
        assert isinstance(result, Prepared), f"{value!r}: {result.error!r}"
        return result.identities

    given, plain = SUBCLASSES[name]
    assert identities(given) == identities(plain)


@pytest.mark.requirement("ITEM-006")
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_of_all_spans_only_that_of_the_placeholders_is_taken(subject: Subject, length: int) -> None:
    """Every short prompt with every span in it or around it, and as many rows as the span says."""
    rig = rig_of(subject.implementation)
    placeholder = placeholder_id(TowerRecipe(), "image")
    for prompt in itertools.product([1, placeholder], repeat=length):
        there = [k for k, token in enumerate(prompt) if token == placeholder]
        for lo, hi in itertools.product(range(-length - 1, length + 2), repeat=2):
            rows = max(1, hi - lo)
            payload, grid = torch.zeros(rows, 3), torch.tensor([[1, 1, rows]])
            item = Item(Modality.IMAGE, Source.PIXELS, payload, ((lo, hi),), grid)
            (result,) = rig.prepare([Request("r", torch.tensor(prompt), (item,))])
            right = lo < hi and list(range(lo, hi)) == there
            assert isinstance(result, Prepared) == right, f"span {lo, hi} of {prompt}: {result}"
