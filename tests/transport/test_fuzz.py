"""Messages of generated requests, damaged in their structure: each ends in a request that makes sense, or in BadMessage."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, seed, settings

from plumbline.profiles import PROFILES
from plumbline.resolve import Subject
from plumbline.transport_fuzz import Target
from plumbline.transport_mutate import mutated, nodes, structure_of
from plumbline.transport_scenario import WireItem, WireRequest
from plumbline.transport_strategies import wire_requests

CHANGES = 200
"""Of each message."""


@pytest.mark.requirement("MSG-002")
@pytest.mark.requirement("MSG-003")
@pytest.mark.requirement("MSG-009")
def test_damaged_structures_end_in_a_typed_error(subject: Subject, request: pytest.FixtureRequest) -> None:
    options = request.config.option
    target = Target(subject.implementation)
    outcomes = [0, 0]

    @seed(options.plumbline_seed)
    @settings(max_examples=PROFILES[options.profile].cases // 10 + 10, database=None, deadline=None)
    @given(wire_requests())
    def check(drawn: WireRequest) -> None:
        ticket = target.publish(drawn)
        rng = random.Random(drawn.readers)
        for _ in range(CHANGES):
            outcomes[target.run(mutated(ticket.message, rng))] += 1
        ticket.cancel()
        assert not target.harmed()

    try:
        check()
    finally:
        target.close()
    assert all(outcomes), f"{outcomes} refused and taken: the changes are all of one kind"


@pytest.mark.requirement("MSG-002")
@pytest.mark.requirement("MSG-003")
def test_deep_structures_end_in_a_typed_error(subject: Subject) -> None:
    """Lists and maps of a great depth, in the place of each part of a message, and behind the last part of each."""
    target = Target(subject.implementation)
    place_holder = b"\xc4\x04deep"
    try:
        message = target.publish(WireRequest((WireItem(1, (2, 1), dress=5),))).message
        found = structure_of(message)
        if found is None:
            pytest.skip("its messages are no msgpack")
        head, tree = found
        changed = []
        for container, place in list(nodes(tree)):
            whole = container[place]
            container[place] = b"deep"
            changed.append(head + msgspec.msgpack.encode(tree))
            container[place] = whole
        for several in [tree, *(c[k] for c, k in nodes(tree))]:
            if isinstance(several, list):
                several.append(b"deep")
                changed.append(head + msgspec.msgpack.encode(tree))
                del several[-1]
        for data in changed:
            for level in (b"\x91", b"\x81\xa1a"):
                assert not target.run(data.replace(place_holder, level * 20_000 + b"\xc0"))
    finally:
        target.close()


def test_changes_can_be_made_again() -> None:
    message = b"plm\x01\x93\xc4\x02ab\xa1c\x92\x01\xc0"
    assert structure_of(message) == (b"plm\x01", [b"ab", "c", [1, None]])
    first, second = ([mutated(message, random.Random(k)) for k in range(300)] for _ in range(2))
    assert first == second
    assert len({*first}) > 100
