"""Deliveries between simulated devices: payloads on the worker's, readers there and on another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plumbline.interface import Domain
from plumbline.remote import Local
from plumbline.sim import AT_ONCE, LATEST, Machine
from plumbline.transport_explore import explore_cases
from plumbline.transport_host import fresh_name, global_names
from plumbline.transport_remote import Fleet
from plumbline.transport_scenario import Delivery, WireItem, WireRequest
from plumbline.transport_strategies import deliveries

LAZY = {"conjugate": "contiguous", "negative": "contiguous"}
"""Views that a simulated device does not have."""
SPACES = {"device": (0, 1 << 18), "both": (1 << 18, 1 << 14), "host": (1 << 18, 0), "little": (1 << 15, 1 << 13)}
"""Bytes of the pools on the host and on devices."""


def plain(case: Delivery) -> Delivery:
    def items(request: WireRequest) -> tuple[WireItem, ...]:
        return tuple(replace(item, strides=LAZY.get(item.strides, item.strides)) for item in request.items)

    return replace(case, requests=tuple(replace(request, items=items(request)) for request in case.requests))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("schedule", [LATEST, AT_ONCE, 1, 2, 3])
def test_generated_deliveries(space: str, schedule: int) -> None:
    host, there = SPACES[space]
    domain = Domain(fresh_name(), workers=2, ranks=2, pool_bytes=host, device_bytes=there)
    with Machine(schedule) as machine, Fleet(["sim:0", "sim:1"], ["sim:0", "sim:1"], Local) as fleet:
        fleet.join(domain)
        found = explore_cases(deliveries().map(plain), fleet.deliver, 40, 7 + schedule)
        fleet.leave()
        machine.finish()
    assert not found.findings, found.said
    assert {"pooled", "in place", "message"} <= set(found.reach)
    assert not global_names(domain.name)
