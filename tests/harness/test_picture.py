"""The picture of a scenario shows every token, item, chunk and operation, and tells near-duplicates apart."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, seed, settings

from plumbline.closed_form import lay_out
from plumbline.engine import run
from plumbline.interface import Capability
from plumbline.picture import draw, plan
from plumbline.resolve import load
from plumbline.scenario import Content, ItemRecipe, Op, RequestRecipe, Scenario, TowerRecipe
from plumbline.strategies import scenarios

A = ItemRecipe(grid=(1, 2, 2), parts=(4,))


def _fills(scenario: Scenario) -> list[tuple[str, str]]:
    """Colour and name at the start of each span, in the order of the drawing."""
    spans = re.findall(
        r'fill="(hsl\([^"]*)"[^>]*></rect>(?:<path[^>]*></path>)?<text[^>]*>0</text><text[^>]*>(\w+)</text>',
        draw(scenario),
    )
    assert spans
    return spans


def test_picture_tells_equal_from_nearly_equal() -> None:
    near = ItemRecipe(grid=(1, 2, 2), parts=(4,), content=Content(0, "flip", 1))
    other = ItemRecipe(grid=(1, 2, 2), parts=(4,), content=Content(9))
    (a, name_a), (b, name_b), (c, name_c), (d, name_d) = _fills(
        Scenario(requests=(RequestRecipe("r0", (A, near, A, other)),))
    )
    assert name_a == name_c != name_b
    assert a == c != b
    hues = [re.findall(r"hsl\((\d+)", colour) for colour in (a, b, d)]
    assert hues[0] == hues[1] != hues[2]
    assert name_d[0] != name_a[0] == name_b[0]


@pytest.mark.parametrize("tower", [TowerRecipe(), TowerRecipe(image="tiles", rows_per_tile=2)])
def test_picture_draws_every_token_and_every_chunk(tower: TowerRecipe) -> None:
    item = ItemRecipe(grid=(1, 5, 10), parts=(50,)) if tower.image == "grid" else ItemRecipe(grid=None, parts=(3, 2))
    scenario = Scenario(tower=tower, requests=(RequestRecipe("r0", (item,), gaps=(2, 3)),), chunks=(4, 3))
    tokens = len(lay_out(tower, scenario.requests[0]).token_ids)
    drawn = draw(scenario)
    assert len(re.findall(r'<rect x="\d\d[^>]*width="16"', drawn)) == tokens
    sizes, ends = [4, 3], [0]
    while ends[-1] < tokens:
        ends.append(min(ends[-1] + sizes[(len(ends) - 1) % 2], tokens))
    closed = re.findall(r'<path d="M[^"]*v-4"', drawn)
    assert len(closed) == len(ends) - 1


def test_picture_names_what_happens() -> None:
    requests = (
        RequestRecipe("r0", (A,)),
        RequestRecipe("r1", (A,), copies=2),
        RequestRecipe("r2", malformed="no rows"),
    )
    drawn = draw(Scenario(requests=requests, ops=(Op(1, "retract", 0), Op(2, "epoch", 1), Op(3, "abort", 4))))
    for said in (
        "step 1: retract r0",
        "step 2: weights of epoch 1000",
        "step 3: abort r1",
        "malformed: no rows",
        "2 times",
    ):
        assert said in drawn


def test_picture_of_nothing_is_well_formed() -> None:
    ElementTree.fromstring(draw(Scenario()))
    ElementTree.fromstring(draw(Scenario(requests=(RequestRecipe("r0", (ItemRecipe(grid=None, parts=()),)),))))


@seed(1)
@settings(max_examples=40, database=None, deadline=None)
@given(scenarios(frozenset({Capability.VIDEO, Capability.TILES, Capability.SEVERAL_SPANS})))
def test_planned_chunks_are_those_of_the_engine(drawn: Scenario) -> None:
    requests = tuple(
        dataclasses.replace(
            r, malformed="", items=tuple(dataclasses.replace(i, fault=False, gone=False) for i in r.items)
        )
        for r in drawn.requests
    )
    scenario = dataclasses.replace(drawn, requests=requests, ops=(), prefix_cache=False, hiccups=())
    trace = run(scenario, load("reference"))
    assert not trace.crashes
    chunks: dict[int, list[tuple[int, int, int]]] = {id(entry): [] for entry in trace.entries}
    for record in trace.steps:
        for one in record.scheduled:
            chunks[id(one.entry)].append((record.number, one.chunk.lo, one.chunk.hi))
    assert [c for copies in plan(scenario) for c in copies] == list(chunks.values())
