"""What is left when requests are gone."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from plumbline.interface import Chunk, Failure, Rows
from plumbline.parts import image, prepared_of, rig_of
from plumbline.resolve import Subject
from plumbline.scenario import RequestRecipe


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
        assert {type(r) for r in step.results} == {Failure if end == "failed" else Rows}
        step.settle()
    for k in range(3):
        rig.embed.finish(f"r{k}")
    del prepared
    subject_keeps.append(rig)
    return refs


subject_keeps: list[object] = []
"""The parts stay alive while the references are looked at."""


@pytest.mark.requirement("LIFE-010")
@pytest.mark.parametrize("end", ["done", "aborted in the middle of an item", "aborted before a step", "failed"])
def test_no_payload_outlives_its_request(subject: Subject, end: str) -> None:
    refs = payload_refs(subject, end)
    gc.collect()
    alive = sum(ref() is not None for ref in refs)
    subject_keeps.clear()
    assert refs
    assert not alive, f"{alive} of {len(refs)} payloads are still alive"
