"""Between a step and its settling an engine goes on: what was lost is told all the same, to all who were shown it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.feature import LocalFeature
from plumbline.interface import Capability, Chunk, LeaseLost, Prepared, Rows, Step
from plumbline.parts import About, claimed, image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.rig import Rig
from plumbline.scenario import RequestRecipe, TowerRecipe

END = 6
"""Tokens of a prompt: one of text, four rows, and one of text."""


def lazy(rig: Rig, name: str, fence: bool, seed: int = 1) -> Prepared:
    """The same image for every name, if ``seed`` does not say otherwise, fenced off when it is read or not."""
    whole = prepared_of(rig, RequestRecipe(name, (image(seed),), text=1))
    (item,) = whole.items
    assert isinstance(item.payload, torch.Tensor)
    assert len(whole.token_ids) == END
    items = (dataclasses.replace(item, payload=LocalFeature(item.payload, fence)),)
    return dataclasses.replace(whole, items=items)


def between(rig: Rig, what: str, name: str) -> None:
    """What an engine does with a request whose step is not settled."""
    if what == "retracted":
        rig.embed.retract(name)
    elif what == "finished":
        rig.embed.finish(name)
    elif what == "finished, and the id used again":
        rig.embed.finish(name)
        rig.embed.admit(lazy(rig, name, fence=False))
    elif what == "other weights":
        rig.tower.epoch = 1
        rig.embed.set_epoch(1)


def right(rig: Rig, name: str, epoch: int) -> None:
    """The whole request, in one chunk."""
    (result,) = rig.embed.step([Chunk(name, 0, END)]).results
    assert isinstance(result, Rows), result
    wanted = expected_rows(TowerRecipe(), image(1), epoch, 0)
    assert torch.equal(bits_of(result.rows), wanted), f"{name} has rows {result.rows.tolist()} for {wanted.tolist()}"


@pytest.mark.requirement("LIFE-009", "LIFE-012", "LIFE-003")
@pytest.mark.requirement("CACHE-010")
@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("cut", [3, END])
@pytest.mark.parametrize(
    "what", ["nothing", "retracted", "finished", "finished, and the id used again", "other weights"]
)
def test_what_was_lost_is_told_whatever_happened_since(
    subject: Subject, what: str, cut: int, first: str, about: About
) -> None:
    """Two requests are shown one image, whose payload is fenced off in both; something happens to one of them. Afterwards
    a third one, with a good payload, gets its own rows, and so does one that has an id again."""
    claimed(subject, Capability.LAZY, *[Capability.EPOCHS] * (what == "other weights"))
    rig = rig_of(subject.implementation)
    for name in ("a", "b"):
        rig.embed.admit(lazy(rig, name, fence=True))
    step = rig.embed.step([Chunk(name, 0, cut) for name in ("a", "b")])
    assert all(isinstance(result, Rows) for result in step.results)
    between(rig, what, first)
    lost = {failure.request_id: type(failure.error) for failure in step.settle()}
    with about("LIFE-009" if what == "nothing" else "LIFE-012"):
        assert lost == {"a": LeaseLost, "b": LeaseLost}
    rig.embed.admit(lazy(rig, "c", fence=False))
    with about("CACHE-010"):
        right(rig, "c", epoch=1 if what == "other weights" else 0)
    if "used again" in what:
        with about("LIFE-003"):
            right(rig, first, epoch=0)


@pytest.mark.requirement("LIFE-009", "LIFE-012")
def test_a_later_step_that_showed_the_same_rows_is_told_as_well(subject: Subject) -> None:
    """One request goes on inside its image before its first step is settled, and another one begins with that image."""
    claimed(subject, Capability.LAZY)
    rig = rig_of(subject.implementation)
    for name in ("a", "b"):
        rig.embed.admit(lazy(rig, name, fence=True))
    steps = [rig.embed.step([Chunk("a", 0, 3)]), rig.embed.step([Chunk("a", 3, END), Chunk("b", 0, END)])]
    told = [{failure.request_id for failure in step.settle()} for step in steps]
    assert told == [{"a"}, {"a", "b"}]


@pytest.mark.requirement("LIFE-009", "LIFE-012", "CACHE-010")
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
@pytest.mark.parametrize("gone", [(), ("a",), ("b",), ("a", "b")], ids=lambda names: " and ".join(names) or "nobody")
def test_rows_that_were_lost_are_shown_to_nobody_again(
    subject: Subject, gone: tuple[str, ...], cache_bytes: int, about: About
) -> None:
    """Two steps showed them before either was settled. Some go, the others stay as they are, and a new one has a good payload."""
    claimed(subject, Capability.LAZY)
    rig = rig_of(subject.implementation, cache_bytes=cache_bytes)
    for name in ("a", "b"):
        rig.embed.admit(lazy(rig, name, fence=True))
    for step in [rig.embed.step([Chunk(name, 0, 3)]) for name in ("a", "b")]:
        step.settle()
    for name in gone:
        rig.embed.finish(name)
    rig.embed.admit(lazy(rig, "c", fence=False))
    with about("CACHE-010"):
        right(rig, "c", epoch=0)
    for name in {"a", "b"} - set(gone):
        step = rig.embed.step([Chunk(name, 3, END)])
        lost = {failure.request_id for failure in step.settle()}
        (result,) = step.results
        if isinstance(result, Rows) and name not in lost:
            with about("LIFE-009"):
                wanted = expected_rows(TowerRecipe(), image(1), 0, 0)[2:]
                assert torch.equal(bits_of(result.rows), wanted), f"{name} is shown rows that were lost"


class Taken(LocalFeature):
    """It was given to others before it was opened."""

    def __init__(self, payload: Tensor) -> None:
        super().__init__(payload, gone=True)

    def check(self) -> None:
        raise LeaseLost("the payload was fenced off before it was read", hint="send the request again")


PAYLOADS: dict[str, Callable[[Tensor], LocalFeature | None]] = {
    "good": LocalFeature,
    "fenced": partial(LocalFeature, fence=True),
    "gone": partial(LocalFeature, gone=True),
    "taken": Taken,
    "away": lambda _: None,
}


@pytest.mark.requirement("LIFE-009", "LIFE-012", "CACHE-010", "ENC-013")
@pytest.mark.parametrize(("parts", "late"), [(("ab", "c"), False), (("a", "b", "c"), False), (("a", "b", "c"), True)])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_what_is_told_to_be_lost_is_what_was_lost(
    subject: Subject, parts: tuple[str, ...], late: bool, cache_bytes: int, about: About
) -> None:
    """Two requests, and then a third one, have one image, each with a payload of its own. late: no step is settled before all
    have begun."""
    claimed(subject, Capability.LAZY)
    for kinds in itertools.product(PAYLOADS, repeat=2):
        rig = rig_of(subject.implementation, cache_bytes=cache_bytes)
        of = dict(zip("abc", (*kinds, "good"), strict=True))
        for name, kind in of.items():
            whole = lazy(rig, name, fence=False)
            (item,) = whole.items
            assert isinstance(item.payload, LocalFeature)
            payload = PAYLOADS[kind](item.payload.open(torch.device("cpu")))
            rig.embed.admit(dataclasses.replace(whole, items=(dataclasses.replace(item, payload=payload),)))
        begun: list[Step] = []
        for names in parts:
            begun.append(rig.embed.step([Chunk(name, 0, END) for name in names]))
            if not late:
                tells_what_was_read(begun.pop(), names, of, about)
        for names, step in zip(parts, begun, strict=False):
            tells_what_was_read(step, names, of, about)


def tells_what_was_read(step: Step, names: str, of: dict[str, str], about: About) -> None:
    """Rows show which payload it was. names: of its requests. of: the kind of each one's payload."""
    wanted = expected_rows(TowerRecipe(), image(1), 0, 0)
    lost = {failure.request_id for failure in step.settle()}
    for name, result in zip(names, step.results, strict=True):
        said = f"payloads {of}: {name} was {'told' if name in lost else 'not told'} of a lost lease"
        if not isinstance(result, Rows):
            with about("ENC-013"):
                assert of[name] in ("gone", "taken", "away"), f"payloads {of}: {name} got {result.error}"
            continue
        right = torch.equal(bits_of(result.rows), wanted)
        with about("LIFE-009" if of[name] != "good" or right else "CACHE-010"):
            assert (name in lost) is not right, f"{said}, and its rows are {'right' if right else 'not'}"


@pytest.mark.requirement("CACHE-008")
@pytest.mark.parametrize("ends", ["before settling", "after it"])
@pytest.mark.parametrize("beside", [False, True])
def test_what_was_delivered_and_settled_is_kept(subject: Subject, ends: str, beside: bool) -> None:
    """Beside an item that was lost in the same step, and for requests that have ended by then."""
    claimed(subject, Capability.CACHE, Capability.LAZY)
    rig = rig_of(subject.implementation)
    rig.embed.admit(lazy(rig, "good", fence=False))
    rig.embed.admit(lazy(rig, "lost", fence=beside, seed=2))
    step = rig.embed.step([Chunk("good", 0, END), Chunk("lost", 0, END)])
    if ends == "before settling":
        rig.embed.finish("good")
    assert [failure.request_id for failure in step.settle()] == ["lost"] * beside
    if ends == "after it":
        rig.embed.finish("good")
    before = len(rig.tower.calls)
    rig.embed.admit(lazy(rig, "later", fence=False))
    right(rig, "later", 0)
    assert len(rig.tower.calls) == before, "the image was encoded again"


@pytest.mark.requirement("CACHE-002")
def test_rows_that_a_step_found_are_not_kept_as_those_of_other_weights(subject: Subject) -> None:
    """Found in the cache, and settled once the weights are others."""
    claimed(subject, Capability.CACHE, Capability.LAZY, Capability.EPOCHS)
    rig = rig_of(subject.implementation)
    for name in ("a", "b"):
        rig.embed.admit(lazy(rig, name, fence=False))
    rig.embed.step([Chunk("a", 0, END)]).settle()
    step = rig.embed.step([Chunk("b", 0, END)])
    between(rig, "other weights", "b")
    step.settle()
    rig.embed.admit(lazy(rig, "c", fence=False))
    right(rig, "c", epoch=1)


@pytest.mark.requirement("CACHE-006")
@pytest.mark.parametrize("first", ["a", "b"])
def test_rows_that_a_settling_pushes_out_are_there_for_who_needs_more_of_them(subject: Subject, first: str) -> None:
    """Two images of one step, in a cache that has room for one; one request goes on inside of its image."""
    claimed(subject, Capability.CACHE, Capability.LAZY)
    alone = rig_of(subject.implementation)
    alone.embed.admit(lazy(alone, "a", fence=False))
    alone.embed.step([Chunk("a", 0, END)]).settle()
    assert alone.cache is not None
    rig = rig_of(subject.implementation, cache_bytes=alone.cache.nbytes)
    rig.embed.admit(lazy(rig, "a", fence=False))
    rig.embed.admit(lazy(rig, "b", fence=False, seed=2))
    chunks = [Chunk("a", 0, 3), Chunk("b", 0, END)]
    assert not rig.embed.step(chunks if first == "a" else chunks[::-1]).settle()
    (result,) = rig.embed.step([Chunk("a", 3, END)]).results
    assert isinstance(result, Rows)
    assert torch.equal(bits_of(result.rows), expected_rows(TowerRecipe(), image(1), 0, 0)[2:])
