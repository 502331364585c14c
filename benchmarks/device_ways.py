"""Ways to bring payloads from a GPU to another process: each has a half for the publisher and one for the reader.

Here are those of this repository.
"""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

import optimized
from benchmarks.device_channel import PATIENCE
from plumbline.cuda.port import CudaPort
from plumbline.interface import Budgets, Domain, Item, Prepared, Runtime, TensorMeta
from plumbline.transport_scenario import SPEC

GIB = 1 << 30
POOL = GIB
"""Bytes on the publisher's GPU, of every pool: SGLang's default."""
STAGED, IN_PLACE, THROUGH_HOST = "optimized, staged", "optimized, in place", "optimized, through host memory"
STAGED_FLOW, IN_PLACE_FLOW = "optimized, staged, waits for room", "optimized, in place, waits for room"
ALONE = "message alone"


@dataclasses.dataclass(frozen=True)
class Side:
    """gpu: of this process. rank: of a reader; None is the publisher."""

    gpu: int
    rank: int | None
    domain: Domain


class Way:
    """The publisher calls give, publish and settle; the reader receive, open and release. Only give and settle may wait,
    and publish for room in the pool.

    checked: whether the reader is going to look at what comes.
    """

    checked = True

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Any:
        """Not timed: what ``publish`` takes, once."""
        return payloads_of(prepared)

    def publish(self, given: Any, readers: frozenset[int]) -> bytes | memoryview:
        raise NotImplementedError

    def settle(self) -> None:
        """Not timed: what the readers let go of can be used again."""

    def notes(self) -> dict[str, float]:
        """What else there is to say of what was published since the last notes."""
        return {}

    def receive(self, message: bytes) -> Any:
        return pickle.loads(message)

    def open(self, received: Any) -> list[Tensor]:
        """On the reader's GPU, usable in order on the current stream."""
        raise NotImplementedError

    def release(self, received: Any) -> None: ...


class Ends:
    """This repository's transport, as much of it as one process has."""

    def __init__(self, side: Side) -> None:
        assert optimized.implementation.transport
        port = CudaPort(side.gpu)
        transport = optimized.implementation.transport(Runtime(SPEC, port, Budgets(0, 1 << 20, 1 << 20), side.domain))
        self.device = port.device
        self.publisher = transport.publisher(0) if side.rank is None else None
        self.subscriber = transport.subscriber(side.rank) if side.rank is not None else None


class Staged(Way):
    """A whole request, whose payloads lie in tensors of their own and are copied into the pool."""

    pool = "cuda"
    """Where the payloads have to be found."""

    def __init__(self, ends: Ends) -> None:
        self.device = ends.device
        self.publisher: Any = ends.publisher
        self.subscriber: Any = ends.subscriber

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Prepared:
        return prepared

    def publish(self, given: Prepared, readers: frozenset[int]) -> bytes:
        message: bytes = self.publisher.publish(given, readers).message
        return message

    def settle(self) -> None:
        self.publisher.collect()

    def receive(self, message: bytes) -> list[Any]:
        return [item.payload for item in self.subscriber.receive(message).items]

    def open(self, received: Any) -> list[Tensor]:
        return [part.open(self.device) for part in received]  # one that came in the message would be a tensor

    def release(self, received: Any) -> None:
        assert all(part.meta.device.type == self.pool for part in received), "a payload went elsewhere"
        for part in received:
            part.release()


class InPlace(Staged):
    """The same, in a slot that was reserved and filled before."""

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Prepared:
        payloads = payloads_of(prepared)
        slot = self.publisher.reserve(metas_of(payloads), readers)
        assert slot is not None, "the pool is full"
        for place, payload in zip(slot.tensors, payloads, strict=True):
            place.copy_(payload)
        return with_payloads(prepared, slot.tensors)


@dataclasses.dataclass(frozen=True)
class Given:
    """A request, and what its publisher knows of it beforehand. nbytes: of all payloads."""

    prepared: Prepared
    nbytes: int
    metas: list[TensorMeta]


class StagedFlow(Staged):
    """The same in a stream that leaves half of the pool free: where there is no room it waits, so that nothing goes
    elsewhere.

    polls: how often it looked for room in vain. leased: bytes, after each request.
    """

    def __init__(self, ends: Ends) -> None:
        super().__init__(ends)
        self.polls = 0
        self.leased: list[int] = []

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Any:
        payloads = payloads_of(prepared)
        return Given(prepared, sum(payload.nbytes for payload in payloads), metas_of(payloads))

    def publish(self, given: Any, readers: frozenset[int]) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while self.publisher.leased + given.nbytes > POOL // 2:
            self.poll(deadline)
        message: bytes = self.publisher.publish(self.placed(given, readers, deadline), readers).message
        self.leased.append(self.publisher.leased)
        return message

    def placed(self, given: Given, readers: frozenset[int], deadline: float) -> Prepared:
        return given.prepared

    def poll(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no room after {PATIENCE} s")
        self.polls += 1
        self.publisher.collect()

    def notes(self) -> dict[str, float]:
        notes = {"polls": self.polls, "filled": sum(self.leased) / len(self.leased) / POOL}
        self.polls, self.leased = 0, []
        return notes


class InPlaceFlow(StagedFlow):
    """Reserves its slots on the way. What would be written there is left out unless it is looked at, because producing
    payloads is not transport."""

    def placed(self, given: Given, readers: frozenset[int], deadline: float) -> Prepared:
        while (slot := self.publisher.reserve(given.metas, readers)) is None:
            self.poll(deadline)
        if self.checked:
            for place, payload in zip(slot.tensors, payloads_of(given.prepared), strict=True):
                place.copy_(payload)
        return with_payloads(given.prepared, slot.tensors)


class ThroughHost(Staged):
    """The same transport with ``.cpu()`` before it: the payloads lie in shared memory of the host."""

    pool = "cpu"

    def publish(self, given: Prepared, readers: frozenset[int]) -> bytes:
        return super().publish(with_payloads(given, [payload.cpu() for payload in payloads_of(given)]), readers)


class Alone(Way):
    """A message that brings nothing, of 16 bytes for each token."""

    def give(self, prepared: Prepared, readers: frozenset[int]) -> bytes:
        return bytes(16 * len(prepared.token_ids))

    def publish(self, given: bytes, readers: frozenset[int]) -> bytes:
        return given

    def receive(self, message: bytes) -> None: ...

    def open(self, received: None) -> list[Tensor]:
        return []


def optimized_ways(side: Side) -> dict[str, Way]:
    ends = Ends(side)
    known = {ALONE: Alone(), STAGED: Staged(ends), IN_PLACE: InPlace(ends), THROUGH_HOST: ThroughHost(ends)}
    return known | {STAGED_FLOW: StagedFlow(ends), IN_PLACE_FLOW: InPlaceFlow(ends)}


def metas_of(payloads: Sequence[Tensor]) -> list[TensorMeta]:
    return [TensorMeta(tuple(p.shape), p.dtype, p.nbytes, p.device) for p in payloads]


def payloads_of(prepared: Prepared) -> list[Tensor]:
    return [item.payload for item in prepared.items if isinstance(item.payload, Tensor)]


def with_payloads(prepared: Prepared, payloads: Sequence[Tensor]) -> Prepared:
    def placed(item: Item, payload: Tensor) -> Item:
        return dataclasses.replace(item, payload=payload)

    return dataclasses.replace(prepared, items=tuple(map(placed, prepared.items, payloads)))
