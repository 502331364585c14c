"""Digests of generated families of near-duplicates, against what their descriptions say is equal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from plumbline.drawing import draw_each
from plumbline.identity_cases import TOPICS, Bits, Described, Family, difference, families, sameness
from plumbline.interface import Capability, Identity, Item, Modality, Source
from plumbline.parts import claimed, identity_of, rig_of
from plumbline.resolve import Subject

CASES = {"quick": 8, "tests": 12, "default": 30, "thorough": 1000, "mutant": 30}
"""Families in each respect, by profile."""


@pytest.mark.requirement("IDENT-002", "IDENT-003", "IDENT-004", "IDENT-005", "IDENT-006", "IDENT-011")
@pytest.mark.requirement("IDENT-008", "IDENT-009", "IDENT-010", "ISO-005")
@pytest.mark.parametrize("respect", TOPICS)
def test_digests_are_equal_exactly_where_items_are(
    subject: Subject, respect: str, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    """In one call, where equal parts are one object, and each in a call of its own, over other objects."""
    options, claims = request.config.option, subject.implementation.capabilities
    claimed(subject, *TOPICS[respect][1])
    rig = rig_of(subject.implementation)

    def fail(requirement: str, message: str) -> None:
        record_property("broken", requirement)
        pytest.fail(f"{requirement}: {message}")

    def judge(family: Family) -> None:
        tensors: dict[tuple[Bits, str], Tensor] = {}
        together = rig.identify([one.item(tensors) for one in family.members])
        by_truth: dict[object, tuple[Described, Identity]] = {}
        by_identity: dict[Identity, Described] = {}
        for one, found in zip(family.members, together, strict=True):
            if not isinstance(found, Identity):
                fail("ISO-001", f"{one} was refused: {found!r}")
            elif identity_of(rig, one.item({})) != found:
                fail("IDENT-011", f"{one} has another digest in a call with others")
            else:
                equal, expected = by_truth.setdefault(one.truth(), (one, found))
                if found != expected:
                    fail(sameness(one, equal), f"{one} and {equal} are equal")
                other = by_identity.setdefault(found, one)
                if one.truth() != other.truth():
                    fail(difference(one, other), f"{one} and {other} differ")

    # A family is not shrunk: the message names the two that matter.
    draw_each(judge, CASES[options.profile], options.plumbline_seed, families(respect, claims))


def square(view: Tensor) -> Item:
    return Item(Modality.AUDIO, Source.PIXELS, view, (), None)


@pytest.mark.requirement("IDENT-002", "IDENT-003")
def test_views_that_begin_at_one_address_are_told_apart_in_one_call(subject: Subject) -> None:
    """All [4, 4], of one storage from its first element on: what is read decides, not where it lies."""
    claimed(subject, Capability.TILES)
    rig = rig_of(subject.implementation)
    base = torch.arange(64, dtype=torch.float32)
    strides = [(4, 1), (1, 4), (8, 1), (8, 2), (0, 1), (4, 0), (1, 1), (16, 4)]
    views = [base.as_strided((4, 4), stride) for stride in strides]
    together = rig.identify([square(view) for view in views])
    assert len({found.digest for found in together if isinstance(found, Identity)}) == len(views)
    assert [identity_of(rig, square(view.clone())) for view in views] == together
