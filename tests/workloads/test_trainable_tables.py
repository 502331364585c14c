"""Merging with a token embedding that could be trained, as a model's is that was loaded and not told otherwise."""

from __future__ import annotations

import pytest
import torch

from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.interface import Capability, Chunk, Rows
from plumbline.parts import claimed, image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.scenario import RequestRecipe, TowerRecipe


@pytest.mark.requirement("MERGE-009")
@pytest.mark.parametrize("with_out", [False, True])
def test_what_is_merged_belongs_to_no_graph(subject: Subject, with_out: bool) -> None:
    claimed(subject, *[Capability.MERGE_OUT] * with_out)
    rig = rig_of(subject.implementation)
    spec, prepared = rig.runtime.spec, prepared_of(rig, RequestRecipe("r", (image(1),), text=3))
    rig.embed.admit(prepared)
    step = rig.embed.step([Chunk("r", 0, len(prepared.token_ids))])
    step.settle()
    (rows,) = step.results
    assert isinstance(rows, Rows)
    table = torch.nn.Embedding(spec.vocab_size, spec.hidden_size, dtype=spec.dtype)
    out = torch.zeros(len(prepared.token_ids), spec.hidden_size, dtype=spec.dtype) if with_out else None
    with torch.enable_grad():
        merged = rig.merge([rows], prepared.token_ids, table, out)
    for level in (merged.embeds, *merged.side):
        assert not level.requires_grad
        level.numpy()  # which torch refuses of what belongs to a graph
    assert torch.equal(bits_of(merged.embeds[merged.mask]), expected_rows(TowerRecipe(), image(1), 0, 0))
    assert torch.equal(merged.embeds[~merged.mask], table.weight.detach()[prepared.token_ids[~merged.mask]])
