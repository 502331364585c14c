"""Steps of a rank that has nothing to do while others work."""

from __future__ import annotations

import pytest
import torch

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.interface import Capability, Chunk, Rows
from plumbline.parts import About, claimed, image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.rig import Rig
from plumbline.scenario import RequestRecipe, TowerRecipe


def step_of_nothing(rig: Rig, with_out: bool) -> None:
    spec, calls = rig.runtime.spec, len(rig.tower.calls)
    step = rig.embed.step([])
    assert list(step.results) == []
    assert step.settle() == []
    assert len(rig.tower.calls) == calls
    nothing = torch.empty(0, spec.hidden_size, dtype=spec.dtype)
    ids = torch.empty(0, dtype=torch.int64)
    merged = rig.merge([], ids, lambda text: nothing[text], nothing if with_out else None)
    assert len(merged.side) == spec.side_levels
    for level in (merged.embeds, *merged.side):
        assert level.shape == (0, spec.hidden_size)
        assert level.dtype is spec.dtype
    assert merged.mask.shape == (0,)
    assert merged.mask.dtype is torch.bool


@pytest.mark.requirement("CHUNK-009")
@pytest.mark.parametrize("side_levels", [0, 2])
def test_steps_of_nothing_among_those_of_a_request(subject: Subject, side_levels: int, about: About) -> None:
    """Before the first, between chunks that cut an item, and after the last; all rows are those of the item."""
    claimed(subject, *[Capability.SIDE_ROWS] * side_levels)
    with_out = Capability.MERGE_OUT in subject.implementation.capabilities
    tower = TowerRecipe(side_levels=side_levels)
    rig = rig_of(subject.implementation, tower)
    step_of_nothing(rig, False)
    prepared = prepared_of(rig, RequestRecipe("r", (image(1),)), tower)
    rig.embed.admit(prepared)
    step_of_nothing(rig, with_out)
    seen = []
    for lo, hi in ((0, 2), (2, len(prepared.token_ids))):
        step = rig.embed.step([Chunk("r", lo, hi)])
        step.settle()
        (result,) = step.results
        assert isinstance(result, Rows)
        seen.append(result.rows.clone())
        step_of_nothing(rig, with_out)
    with about("CHUNK-001"):
        assert torch.equal(bits_of(torch.cat(seen)), expected_rows(tower, image(1), 0, 0))
    rig.embed.finish("r")
    step_of_nothing(rig, with_out)
