"""Malformed requests are refused quickly and without memory."""

from __future__ import annotations

import dataclasses
import gc
import time
import tracemalloc

import pytest
import torch

from plumbline.build import build_request
from plumbline.interface import Extra, Failure, Item, MalformedRequest, Modality, PlumblineError, Request, Source
from plumbline.ledger import Ledger
from plumbline.parts import About, image, rig_of
from plumbline.resolve import Subject
from plumbline.scenario import RequestRecipe, TowerRecipe

GRIDS = {
    "2^30 patches": [[1, 2**15, 2**15]],
    "2^31 patches": [[2, 2**15, 2**15]],
    "2^40 frames": [[2**40, 1, 1]],
    "2^62 each": [[2**62, 2**62, 2**62]],
    "2^64 in all": [[2**32, 2**32, 1]],
    "many large images": [[1, 2**14, 2**14]] * 64,
}


def request_with(**changes: object) -> Request:
    request = build_request(TowerRecipe(), RequestRecipe("bad", (image(1),)))
    return dataclasses.replace(request, items=(dataclasses.replace(request.items[0], **changes),))  # type: ignore[arg-type]


CLAIMS = {name: {"grid_thw": torch.tensor(grid)} for name, grid in GRIDS.items()} | {
    "a span of 2^62": {"spans": ((0, 2**62),)},
    "a span of thousands of digits": {"spans": ((0, 10**5000),)},
    "a hundred thousand spans": {"spans": ((0, 1),) * 100_000},
    "a payload of 2^40 by stride 0": {"payload": torch.zeros(1, 3).expand(2**40, 3)},
    "an extra of 2^40 by stride 0": {"extras": {"map": Extra(torch.zeros(1).expand(2**40), True)}},
}


@pytest.mark.requirement("ISO-004")
@pytest.mark.requirement("ISO-003")
@pytest.mark.parametrize("name", CLAIMS)
def test_a_large_claim_is_refused_in_bounded_time_and_memory(subject: Subject, name: str, about: About) -> None:
    rig = rig_of(subject.implementation)
    request = request_with(**CLAIMS[name])
    size = 160 * len(request.items[0].spans)
    with Ledger():
        rig.prepare([request_with(grid_thw=None)])  # whatever is imported or built on first use
    gc.collect()  # of what tests before left, which is not this call's
    began = time.process_time()
    result = rig.prepare([request])[0]
    seconds = time.process_time() - began
    tracemalloc.start()  # which takes most of the time of a call that it watches
    with Ledger() as ledger:
        rig.prepare([request])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with about("ISO-004"):
        assert isinstance(result, Failure)
    with about("ISO-003"):
        assert isinstance(result.error, PlumblineError)
        assert result.error.what
    with about("ISO-004"):
        assert seconds < 1 + size / 10_000_000, f"{seconds:.2f} s"
        assert peak + ledger.allocated <= 2**20 + size, f"{peak} bytes of objects and {ledger.allocated} of tensors"


@pytest.mark.requirement("ISO-003")
@pytest.mark.parametrize("field", ["modality", "source", "payload", "spans", "grid_thw", "extras", "given"])
@pytest.mark.parametrize("value", [None, "text", 3, 2.5, (), [1], {"a": 1}, object()], ids=lambda v: type(v).__name__)
def test_any_python_object_in_any_field_is_a_typed_error_or_valid(subject: Subject, field: str, value: object) -> None:
    rig = rig_of(subject.implementation)
    good = build_request(TowerRecipe(), RequestRecipe("good", (image(2),)))
    results = rig.prepare([request_with(**{field: value}), good])
    assert [r.request_id for r in results] == ["bad", "good"]
    assert not isinstance(results[1], Failure)
    if isinstance(results[0], Failure):
        assert isinstance(results[0].error, PlumblineError)
        assert str(results[0].error)


@pytest.mark.requirement("ISO-003")
@pytest.mark.parametrize("value", [None, 3, 2.5, (), [1], object()], ids=lambda v: type(v).__name__)
def test_a_request_s_id_that_is_no_text_is_a_typed_error(subject: Subject, value: object) -> None:
    rig = rig_of(subject.implementation)
    recipes = [RequestRecipe(name, (image(k),)) for k, name in enumerate(("bad", "good"))]
    bad, good = (build_request(TowerRecipe(), recipe) for recipe in recipes)
    results = rig.prepare([dataclasses.replace(bad, request_id=value), good])  # type: ignore[arg-type]
    assert not isinstance(results[1], Failure)
    assert isinstance(results[0], Failure), f"an id of {value!r} was taken"
    assert isinstance(results[0].error, PlumblineError)


@pytest.mark.requirement("ISO-003")
def test_an_item_that_is_no_item_is_a_typed_error(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    request = Request("bad", torch.tensor([1, 2]), ("not an item",))  # type: ignore[arg-type]
    result = rig.prepare([request])[0]
    assert isinstance(result, Failure)
    assert isinstance(result.error, PlumblineError)


@pytest.mark.requirement("ISO-003")
def test_an_error_says_where_and_what_to_do(subject: Subject) -> None:
    item = Item(Modality.IMAGE, Source.PIXELS, torch.zeros(4, 3), ((1, 5),), torch.tensor([[1, 1, 3]]))
    ids = torch.tensor([0, 61, 61, 61, 61])
    result = rig_of(subject.implementation).prepare([Request("r7", ids, (item,))])[0]
    assert isinstance(result, Failure)
    assert isinstance(result.error, MalformedRequest)
    assert "r7" in result.error.where
    assert result.error.hint
