"""Verification on arrival: a payload that is not the one that was identified is told apart from one that is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import optimized
from optimized.identify import Identifier
from optimized.transport.verify import verify
from plumbline.interface import Budgets, Identity, PayloadMissing, Prepared, Runtime
from plumbline.rig import RecordingPort
from plumbline.transport_host import Both
from plumbline.transport_scenario import SPEC, WireItem, WireRequest, prepared_of

CPU = torch.device("cpu")
IDENTIFY = Identifier(Runtime(SPEC, RecordingPort(SPEC), Budgets(0, 64, 64)))
REQUEST = WireRequest(
    (
        WireItem(1, (5, 3), "bfloat16"),
        WireItem(2, (4,), "uint8", strides="odd byte"),
        WireItem(3, (0,)),
        WireItem(4, (2,)),
    )
)


def identified(request: WireRequest) -> Prepared:
    prepared = prepared_of("q", request)
    identities = [found for found in IDENTIFY(prepared.items) if isinstance(found, Identity)]
    return replace(prepared, identities=tuple(identities))


@pytest.mark.parametrize("pool", [1 << 16, 0], ids=["pooled", "in the message"])
def test_what_arrives_as_it_was_sent_passes(pool: int) -> None:
    with Both(optimized.implementation, pool=pool) as both:
        ticket = both.publishers[0].publish(identified(REQUEST), frozenset({0}))
        assert verify(both.subscribers[0].receive(ticket.message), IDENTIFY, CPU) == [None] * 4


@pytest.mark.parametrize("item", [0, 1, 3])
def test_one_changed_byte_is_found_and_named(item: int) -> None:
    with Both(optimized.implementation) as both:
        ticket = both.publishers[0].publish(identified(REQUEST), frozenset({0, 1}))
        received, other = (subscriber.receive(ticket.message) for subscriber in both.subscribers)
        payload = received.items[item].payload
        part = payload[0] if isinstance(payload, tuple) else payload
        assert part is not None
        assert not isinstance(part, Tensor)
        part.open(CPU).view(-1).view(torch.uint8)[0] ^= 1
        for rank in (received, other):
            errors = verify(rank, IDENTIFY, CPU)
            assert [k for k, error in enumerate(errors) if error is not None] == [item]
            assert isinstance(errors[item], PayloadMissing)
            assert f"request q, item {item}" in str(errors[item])


def test_a_payload_that_is_gone_is_that_item_s_error() -> None:
    with Both(optimized.implementation) as both:
        ticket = both.publishers[0].publish(identified(REQUEST), frozenset({0}))
        received = both.subscribers[0].receive(ticket.message)
        ticket.cancel()
        errors = verify(received, IDENTIFY, CPU)
    assert [isinstance(error, PayloadMissing) for error in errors] == [True, True, False, True]


def test_what_stayed_away_has_nothing_to_verify() -> None:
    prepared = identified(REQUEST)
    away = replace(prepared, items=tuple(replace(item, payload=None) for item in prepared.items))
    assert verify(away, IDENTIFY, CPU) == [None] * 4
