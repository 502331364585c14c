"""A rank that gets arbitrary bytes: each has to end in a request that makes sense, or in BadMessage."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from plumbline.interface import (
    BadMessage,
    Feature,
    Implementation,
    LeaseLost,
    Part,
    Payload,
    PayloadMissing,
    Prepared,
    Ticket,
)
from plumbline.transport_fields import difference, metadata_tensors, parts_of
from plumbline.transport_host import Both, Received
from plumbline.transport_mutate import nodes, structure_of
from plumbline.transport_scenario import DRESSES, WireItem, WireRequest
from plumbline.transport_sense import nonsense

MARKER = b"\x28word of"
"""In a kept message: the eight bytes that are different in each pool, such as what names its segment."""
HELD = WireRequest((WireItem(5, (4, 2), dress=5), WireItem(6, (3,), dress=2)))
"""What one rank keeps, while the other gets strange bytes."""
_CPU = torch.device("cpu")


class Target:
    """Rank 0 of two gets the bytes. Nothing that it releases ends a lease, as rank 1 keeps its part."""

    def __init__(self, implementation: Implementation) -> None:
        self.both = Both(implementation, ranks=2)
        self.inline = Both(implementation, ranks=1, pool=0)
        self.message = self.both.publish(HELD).message
        with Both(implementation, ranks=2) as others:
            words = changed_words(others.publish(HELD).message, self.message)
        self.word = words[0].to_bytes(8, "big") if words else MARKER
        self.kept = Received(self.both.subscribers[1], self.message)

    def close(self) -> None:
        self.both.__exit__()
        self.inline.__exit__()

    def publish(self, request: WireRequest) -> Ticket:
        """To both ranks, whatever fault it has."""
        return self.both.publish(dataclasses.replace(request, fault=""))

    def run(self, data: bytes) -> bool:
        """Whether the bytes were taken for a message. Raises AssertionError, or what ``receive`` should not raise."""
        try:
            got = self.both.subscribers[0].receive(data.replace(MARKER, self.word))
        except BadMessage:
            return False
        problem = nonsense(got)
        assert not problem, f"what was received makes no sense: {problem}"
        parts = [part for item in got.items for part in parts_of(item.payload)]
        opened = _with_payloads(got)
        again = self.inline.subscribers[0].receive(self.inline.publishers[0].publish(opened, frozenset({0})).message)
        wide = any(tensor.element_size() > 8 for tensor in metadata_tensors(opened))  # there is no integer so wide
        problem = "" if wide else difference(opened, again)
        assert not problem, f"what was received does not survive being sent again: {problem}"
        for part in parts:
            if not isinstance(part, Tensor):
                part.release()
                assert not part.ready(), "ready after release"
        return True

    def harmed(self) -> bool:
        """Whether the request that was received before any of the bytes reads otherwise now."""
        again = Received(self.both.subscribers[0], self.message)
        unharmed = self.kept.reads(HELD) and again.reads(HELD)
        again.release()
        return not unharmed

    def seeds(self) -> list[bytes]:
        """Messages of all kinds, small, as they are kept."""
        requests = [WireRequest((WireItem(k, (2, 1) if k % 3 == 2 else (3,), dress=k),)) for k in range(DRESSES)]
        for number, dtype in enumerate(("bfloat16", "uint8", "float64")):
            requests.append(WireRequest((WireItem(number, (2,), dtype, "columns", number), WireItem(9, (0,), dtype))))
        requests += [WireRequest(), WireRequest((WireItem(1, (2,), held=True), WireItem(2, (1,))))]
        messages = [both.publish(request).message for both in (self.both, self.inline) for request in requests]
        return [message.replace(self.word, MARKER) for message in messages]


def _with_payloads(got: Prepared) -> Prepared:
    """The request with its payloads opened; without those that are gone."""
    items = [dataclasses.replace(item, payload=_opened(item.payload)) for item in got.items]
    return dataclasses.replace(got, items=tuple(items))


def _opened(payload: Payload) -> Payload:
    if payload is None:
        return None
    try:
        tensors = tuple(_tensor(part) for part in parts_of(payload))
    except (PayloadMissing, LeaseLost):
        return None
    return tensors if isinstance(payload, tuple) else tensors[0]


def _tensor(part: Part) -> Part:
    if not isinstance(part, Feature):
        return part
    opened = part.open(_CPU)
    said = (part.meta.shape, part.meta.dtype, part.meta.nbytes)
    assert said == (tuple(opened.shape), opened.dtype, opened.numel() * opened.element_size()), "not as its meta says"
    part.check()
    return opened


def changed_words(before: bytes, after: bytes) -> list[int]:
    """Integers of more than 32 bits that a message says otherwise than another of the same structure."""
    trees: list[Any] = [found[1] if found else [] for found in map(structure_of, (before, after))]
    pairs = zip(*([container[place] for container, place in nodes(tree)] for tree in trees), strict=False)
    return [b for a, b in pairs if isinstance(b, int) and b >> 32 and a != b]
