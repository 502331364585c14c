"""Leases under late copies: a worker publishes into its pool, a rank on sim:0 opens, encodes and releases, slots are used
again. The device waits for words and writes them; the host never does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
import torch
from torch import Tensor

import optimized
from optimized.transport.pool import Lease, Pool
from optimized.transport.publisher import PoolPublisher, PoolTicket
from optimized.transport.subscriber import PoolSubscriber
from plumbline.bench import expected_rows
from plumbline.build import bits_of
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import (
    BadExtra,
    Budgets,
    Chunk,
    Domain,
    Extra,
    Feature,
    Identity,
    Item,
    LeaseLost,
    PayloadMissing,
    Prepared,
    Rows,
    Runtime,
    TensorMeta,
)
from plumbline.parts import image, prepared_of, rig_of
from plumbline.rig import RecordingPort, build_rig
from plumbline.scenario import ITEM_PATCHES, RequestRecipe, TowerRecipe
from plumbline.sim import AT_ONCE, LATEST, Machine, SimPort
from plumbline.sim.place import SimPlace

TOWER = TowerRecipe()
SPEC = exact_spec(TOWER)
BUDGETS = Budgets(0, 64, ITEM_PATCHES)
SCHEDULES = [LATEST, AT_ONCE, *range(1, 13)]
NUMBERS = count()
ROUNDS = 12


@pytest.fixture
def domain() -> Iterator[Domain]:
    """A pool for a few of the requests below at a time."""
    name = f"plumbline-sim-{os.getpid()}-{next(NUMBERS)}"
    yield Domain(name=name, pool_bytes=3072, clock=lambda: 100.0)
    assert not [entry for entry in os.listdir("/dev/shm") if entry.startswith(name)]


def request(k: int) -> RequestRecipe:
    return RequestRecipe(name=f"r{k}", items=(image(10 * k + 1, 5), image(10 * k + 2, 4)))


def requests() -> list[Prepared]:
    rig = rig_of(optimized.implementation)
    return [prepared_of(rig, request(k)) for k in range(ROUNDS)]


def runtime(domain: Domain, port: SimPort | RecordingPort) -> Runtime:
    return Runtime(SPEC, port, BUDGETS, domain)


class Acknowledged(SimPort):
    """B048: words are written by the host, as soon as the copy is queued."""

    def write(self, word: Tensor, value: int) -> None:
        word.fill_(value)


def serve(machine: Machine, domain: Domain, port: SimPort) -> tuple[bool, int]:
    """Whether all rows came out right, and how many requests went through the pool."""
    prepared = requests()
    publisher = PoolPublisher(runtime(domain, RecordingPort(SPEC)), 0)
    subscriber = PoolSubscriber(runtime(domain, port), 0)
    place = SimPlace(machine)
    rig = build_rig(optimized.implementation, ExactTower(TOWER, SPEC), SPEC, BUDGETS, place)
    right: list[bool] = []
    pooled = 0

    def look(k: int, seen: Rows) -> None:
        wanted = torch.cat([expected_rows(TOWER, item, 0, 0) for item in request(k).items])
        right.append(torch.equal(bits_of(seen.rows), wanted))

    for k, sent in enumerate(prepared):
        before = publisher.leased
        ticket = publisher.publish(sent, frozenset({0}))
        pooled += publisher.leased > before
        received = subscriber.receive(ticket.message)
        rig.embed.admit(received)
        step = rig.embed.step([Chunk(received.request_id, 0, len(received.token_ids))])
        [result] = step.results
        assert isinstance(result, Rows), result
        place.read(result, lambda seen, k=k: look(k, seen))  # type: ignore[misc]
        assert step.settle() == []
        rig.embed.finish(received.request_id)
        if k % 3 == 2:
            machine.finish()
        publisher.collect()
    assert not machine.ledger.syncs
    machine.finish()
    publisher.collect()
    assert publisher.leased == 0
    subscriber.close()
    publisher.close()
    return len(right) == ROUNDS and all(right), pooled


@pytest.mark.parametrize("seed", SCHEDULES)
def test_rows_are_right_while_copies_are_late_and_places_are_used_again(seed: int, domain: Domain) -> None:
    with Machine(seed) as machine:
        right, pooled = serve(machine, domain, SimPort())
        assert right
        assert pooled >= 6
        assert not machine.ledger.hazards
        assert machine.ledger.contexts == {0}


@pytest.mark.parametrize("seed", [LATEST, *range(1, 5)])
def test_an_acknowledgement_before_the_copy_is_seen(seed: int, domain: Domain) -> None:
    with Machine(seed) as machine:
        right, _ = serve(machine, domain, Acknowledged())
        hazards = bool(machine.ledger.hazards)
    assert hazards or not right
    assert seed != LATEST or (hazards and not right)


# -------------------------------------------------------------------------------------------------- what is given back


class OnlyOnAllocation(PoolPublisher):
    """B049: places are taken back only when somebody needs one."""

    allocating = False

    def collect(self) -> None:
        if self.allocating:
            super().collect()

    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        self.allocating = True
        try:
            return super().publish(prepared, readers, held)
        finally:
            self.allocating = False


class LeakyPool(Pool):
    """B051: nothing is given back while a request is being published."""

    publishing = False

    def end(self, lease: Lease) -> None:
        if not self.publishing:
            super().end(lease)


class NoRollback(PoolPublisher):
    def __init__(self, runtime: Runtime, worker: int) -> None:
        super().__init__(runtime, worker)
        assert self._pool is not None
        self._pool.close()
        self._pool: LeakyPool = LeakyPool(runtime.domain, worker, runtime.port)

    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        self._pool.publishing = True
        try:
            return super().publish(prepared, readers, held)
        finally:
            self._pool.publishing = False


@pytest.mark.parametrize(("kind", "left"), [(PoolPublisher, False), (OnlyOnAllocation, True)])
@pytest.mark.parametrize("seed", SCHEDULES)
def test_places_come_back_when_the_device_is_done(
    kind: type[PoolPublisher], left: bool, seed: int, domain: Domain
) -> None:
    with Machine(seed) as machine:
        port = SimPort()
        publisher = kind(runtime(domain, RecordingPort(SPEC)), 0)
        subscriber = PoolSubscriber(runtime(domain, port), 0)
        for sent in requests()[:3]:
            for item in subscriber.receive(publisher.publish(sent, frozenset({0})).message).items:
                assert not isinstance(item.payload, Tensor | tuple | None)
                item.payload.open(port.device)
                item.payload.release()
        if seed == LATEST:
            assert publisher.leased, "the copies that read them are still to come"
        machine.finish()
        publisher.collect()
        assert bool(publisher.leased) == left
        subscriber.close()
        publisher.close()


@pytest.mark.parametrize(("kind", "left"), [(PoolPublisher, False), (NoRollback, True)])
def test_a_publish_that_fails_at_a_later_item_leaves_nothing(
    kind: type[PoolPublisher], left: bool, domain: Domain
) -> None:
    with Machine(LATEST):
        publisher = kind(runtime(domain, SimPort()), 0)
        sent = requests()[0]
        good, bad = sent.items
        broken = Item(bad.modality, bad.source, bad.payload, bad.spans, bad.grid_thw, {"x": Extra(object(), True)})
        failing = Prepared(sent.request_id, sent.token_ids, (good, broken), sent.identities, sent.prefix_keys)
        with pytest.raises(BadExtra):
            publisher.publish(failing, frozenset({0}))
        assert bool(publisher.leased) == left
        publisher.close()


@pytest.mark.parametrize("seed", SCHEDULES)
@pytest.mark.parametrize("end", ["cancelled", "failed", "slot"])
def test_a_copy_that_is_late_writes_into_nobody_else_s_place(end: str, seed: int, domain: Domain) -> None:
    """The worker's first publication ends while its copy is queued; the next one comes from another stream."""
    here = replace(domain, pool_bytes=4096, device_bytes=4096)
    with Machine(seed) as machine:
        publisher, subscriber = PoolPublisher(runtime(here, SimPort()), 0), PoolSubscriber(runtime(here, SimPort()), 0)
        streams = [torch.get_device_module("sim").Stream() for _ in range(2)]
        first, second = (on_device(prepared, 3 * k) for k, prepared in enumerate(requests()[:2]))
        with streams[0]:
            if end == "cancelled":
                publisher.publish(first, frozenset({0})).cancel()
            elif end == "slot":
                payloads = [item.payload for item in first.items]
                metas = [TensorMeta(tuple(p.shape), p.dtype, p.nbytes, p.device) for p in payloads]  # type: ignore[union-attr]
                slot = publisher.reserve(metas, frozenset({0}))
                assert slot is not None
                for place, payload in zip(slot.tensors, payloads, strict=True):
                    place.copy_(payload)  # type: ignore[arg-type]
                slot.cancel()
                slot.cancel()
            else:
                broken = replace(first.items[0], extras={"x": Extra(object(), False)})
                with pytest.raises(BadExtra):
                    publisher.publish(replace(first, items=(broken, *first.items[1:])), frozenset({0}))
        assert publisher.leased == 0
        with streams[1]:
            message = publisher.publish(second, frozenset({0})).message
        with torch.get_device_module("sim").Stream():
            opened = [item.payload.open(torch.device("sim", 0)) for item in subscriber.receive(message).items]  # type: ignore[union-attr]
            machine.finish()
        wanted = [bits_of(item.payload.cpu()) for item in second.items]  # type: ignore[union-attr]
        assert all(torch.equal(bits_of(seen.cpu()), bits) for seen, bits in zip(opened, wanted, strict=True))
        publisher.collect()
        subscriber.close()
        publisher.close()


@pytest.mark.parametrize("seed", SCHEDULES)
def test_a_worker_that_was_taken_for_dead_deceives_nobody(seed: int, domain: Domain) -> None:
    """One rank declares it lost. It lives, and publishes to another rank, whose device gets the bytes late."""
    here = replace(domain, ranks=2, device_bytes=4096)
    with Machine(seed) as machine:
        publisher = PoolPublisher(runtime(here, SimPort()), 0)
        told, other = (PoolSubscriber(runtime(here, SimPort(rank)), rank) for rank in range(2))
        for k, prepared in enumerate(requests()[:4]):
            sent = on_device(prepared, k)
            with torch.get_device_module(
                "sim"
            ).Stream():  # a rank in the same process would be in order with the default one
                message = publisher.publish(sent, frozenset({1})).message
            if k == 1:
                told.lost(0)
            with torch.get_device_module("sim").Stream(1):
                received = other.receive(message)
                parts = [item.payload for item in received.items]
                try:
                    opened = [part.open(torch.device("sim", 1)) for part in parts]  # type: ignore[union-attr]
                    machine.finish()
                    for part in parts:
                        part.check()  # type: ignore[union-attr]
                except (PayloadMissing, LeaseLost):
                    assert k
                    machine.finish()
                    continue
            wanted = [bits_of(item.payload.cpu()) for item in sent.items]  # type: ignore[union-attr]
            assert all(torch.equal(bits_of(seen.cpu()), bits) for seen, bits in zip(opened, wanted, strict=True))
        for subscriber in (told, other):
            subscriber.close()
        publisher.close()


def test_the_host_gets_no_bytes_that_are_not_there_yet(domain: Domain) -> None:
    """The device's pool is full, so that a copy to host memory is on its way."""
    here = replace(domain, device_bytes=256)
    with Machine(LATEST) as machine:
        publisher, subscriber = PoolPublisher(runtime(here, SimPort()), 0), PoolSubscriber(runtime(here, SimPort()), 0)
        sent = on_device(requests()[0], 1)
        part = subscriber.receive(publisher.publish(sent, frozenset({0})).message).items[0].payload
        assert isinstance(part, Feature)
        assert not part.ready()
        with pytest.raises(PayloadMissing, match="not there yet"):
            part.open(torch.device("cpu"))
        machine.finish()
        assert part.ready()
        assert torch.equal(bits_of(part.open(torch.device("cpu"))), bits_of(sent.items[0].payload.cpu()))  # type: ignore[union-attr]
        subscriber.close()
        publisher.close()


def on_device(prepared: Prepared, add: int) -> Prepared:
    """The same request with other values, which lie on the device."""
    items = [replace(item, payload=(item.payload + add).to("sim:0")) for item in prepared.items]  # type: ignore[operator]
    return replace(prepared, items=tuple(items))
