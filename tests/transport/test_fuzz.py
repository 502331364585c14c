"""Messages of generated requests, damaged in their structure: each ends in a request that makes sense, or in BadMessage."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given, seed, settings

from plumbline.interface import BadMessage, CallerKey, Capability, Identity, Prepared, Source, Trust
from plumbline.parts import claimed
from plumbline.profiles import PROFILES
from plumbline.resolve import Subject
from plumbline.transport_fuzz import Target
from plumbline.transport_host import Both, Received
from plumbline.transport_mutate import mutated, nodes, structure_of
from plumbline.transport_scenario import WireItem, WireRequest, prepared_of
from plumbline.transport_sense import nonsense
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


@pytest.mark.requirement("MSG-009")
def test_refused_messages_end_no_lease(subject: Subject, request: pytest.FixtureRequest) -> None:
    """Bytes that name a lease may be anybody's, while the message itself is on its way."""
    claimed(subject, Capability.TRANSPORT)
    rng = random.Random(request.config.option.plumbline_seed)
    load = WireRequest((WireItem(1, (4,), dress=5),))
    with Both(subject.implementation, ranks=1) as both:
        publisher, rank = both.publishers[0], both.subscribers[0]
        for k in range(CHANGES):
            ticket = both.publish(load, name=f"q{k}")
            leased = publisher.leased
            with contextlib.suppress(BadMessage):
                rank.receive(mutated(ticket.message, rng))
            publisher.collect()
            assert publisher.leased == leased, "a message that is not the worker's has ended its lease"
            assert Received(rank, ticket.message).reads(load)
            ticket.cancel()


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


WHOLE = prepared_of("r", WireRequest((WireItem(1, (3,)), WireItem(2, (2, 2)))))


def with_item(**changes: Any) -> Prepared:
    return dataclasses.replace(WHOLE, items=(dataclasses.replace(WHOLE.items[0], **changes), WHOLE.items[1]))


@pytest.mark.parametrize(
    "prepared",
    [
        dataclasses.replace(WHOLE, prefix_keys=WHOLE.prefix_keys[1:]),
        dataclasses.replace(WHOLE, token_ids=WHOLE.token_ids.int()),
        dataclasses.replace(WHOLE, identities=WHOLE.identities[1:]),
        dataclasses.replace(WHOLE, identities=(Identity(b"short"), WHOLE.identities[1])),
        with_item(spans=((1, 1),)),
        with_item(spans=((1, 1000),)),
        with_item(spans=WHOLE.items[1].spans),
        with_item(source=Source.PRECOMPUTED, grid_thw=None, spans=((1, 2),)),
        with_item(grid_thw=torch.tensor([[1, 1, 4]])),
        with_item(grid_thw=torch.tensor([[1, -1, -3]])),
        with_item(grid_thw=torch.tensor([1, 1, 3])),
        with_item(payload=()),
        with_item(given=(CallerKey("t", "k", Trust.VERIFIED),) * 2),
    ],
)
def test_what_makes_no_sense_is_seen(prepared: Prepared) -> None:
    assert not nonsense(WHOLE)
    assert nonsense(prepared)
