"""What the simulated device promises to programs: values, devices, copies, streams, events, words, memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from plumbline.interface import DevicePort
from plumbline.sim import AT_ONCE, LATEST, Machine, SimPort, Stalled
from plumbline.sim.schedule import POLLS

SCHEDULES = [LATEST, AT_ONCE, *range(1, 9)]


@pytest.fixture(params=SCHEDULES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with Machine(request.param) as machine:
        yield machine


@pytest.fixture
def late() -> Iterator[Machine]:
    with Machine(LATEST) as machine:
        yield machine


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def module() -> object:
    return torch.get_device_module("sim")


def test_values_are_the_cpu_s_bit_for_bit(machine: Machine) -> None:
    x, w = values(6, 8), values(8, 8)
    ids = torch.tensor([3, 0, 5])

    def program(x: Tensor, w: Tensor, ids: Tensor) -> list[Tensor]:
        y = torch.nn.functional.linear(x, w)
        norm = torch.nn.functional.layer_norm(y, (8,))
        q = norm.view(1, 6, 2, 4).transpose(1, 2)
        attended = torch.nn.functional.scaled_dot_product_attention(q, q, q)
        y[1:3] += 1
        y.mul_(2)[ids] = 0
        halves = y.to(torch.bfloat16).split([2, 4])
        return [y, norm, attended, *halves, torch.cat(halves), y[ids], y.view(torch.uint8), y.softmax(-1).sum(0)]

    there = program(x.to("sim:0"), w.to("sim:0"), ids.to("sim:0"))
    for mine, theirs in zip(program(x.clone(), w, ids), there, strict=True):
        assert theirs.device == torch.device("sim:0")
        assert torch.equal(theirs.cpu().view(torch.uint8), mine.contiguous().view(torch.uint8))


def test_operands_on_different_devices_are_refused(machine: Machine) -> None:
    x = values(3)
    with pytest.raises(RuntimeError, match="same device"):
        x.to("sim:0") + x
    with pytest.raises(RuntimeError, match="same device"):
        torch.cat([x.to("sim:0"), x.to("sim:1")])
    assert torch.equal((x.to("sim:1") + torch.tensor(1.0)).cpu(), x + 1)


def test_a_tensor_like_one_on_a_device_is_where_it_was_asked_for(machine: Machine) -> None:
    x = values(2, 3).to("sim:1")
    made = [
        make(x, device=device) for make in (torch.empty_like, torch.zeros_like) for device in ("cpu", "sim:0", None)
    ]
    made += [x.new_empty((2, 3), device="cpu"), x.new_zeros((2, 3))]
    wanted = ["cpu", "sim:0", "sim:1"] * 2 + ["cpu", "sim:1"]
    assert [str(one.device) for one in made] == wanted
    assert all(one.shape == x.shape and one.dtype == x.dtype for one in made)


def test_copies_are_counted_by_direction_and_size(machine: Machine) -> None:
    x = values(5, 4)
    y = x.to("sim:0", non_blocking=True).to("sim:1")
    assert torch.equal(y.cpu(), x)
    assert [(c.direction, c.nbytes) for c in machine.ledger.copies] == [("h2d", 80), ("p2p", 80), ("d2h", 80)]


def test_reads_by_the_host_are_syncs_and_nothing_else_is(machine: Machine) -> None:
    x = values(5, 4).to("sim:0", non_blocking=True)
    y = (x @ x.T).relu()[1:].contiguous()
    torch.zeros(3, device="sim:0").add_(1)
    assert not machine.ledger.syncs
    for read in (lambda: y.sum().item(), lambda: y.tolist(), lambda: y.cpu(), y.nonzero, lambda: y[y > 0]):
        before = len(machine.ledger.syncs)
        read()
        assert len(machine.ledger.syncs) > before
    with pytest.raises(TypeError):
        y.numpy()


def test_work_waits_for_the_host_to_need_it(late: Machine) -> None:
    ran: list[int] = []
    late.launch(lambda: ran.append(1), 0, [])
    late.launch(lambda: ran.append(2), 1, [])
    assert not ran
    late.current(1).synchronize()
    assert ran == [2]
    late.finish()
    assert ran == [2, 1]


def test_a_copy_from_pageable_memory_is_staged_and_one_from_pinned_memory_is_late(late: Machine) -> None:
    pageable, pinned = torch.zeros(4), SimPort().pinned(16).view(torch.float32)
    pinned.fill_(0)
    a, b = pageable.to("sim:0", non_blocking=True), pinned.to("sim:0", non_blocking=True)
    pageable.fill_(1)
    pinned.fill_(1)
    assert a.tolist() == [0.0] * 4
    assert b.tolist() == [1.0] * 4
    assert [c.late for c in late.ledger.copies][:2] == [False, True]


@pytest.mark.parametrize(("numbers", "waits"), [(1 << 14, False), ((1 << 14) + 1, True)])
def test_a_large_copy_from_pageable_memory_waits_for_its_stream(late: Machine, numbers: int, waits: bool) -> None:
    there = torch.zeros(numbers).to("sim:0", non_blocking=True)
    there.add_(1)
    there.copy_(torch.full((numbers,), 5.0), non_blocking=True)
    assert (sum("pageable" in sync for sync in late.ledger.syncs) > 0) == waits
    assert there.tolist() == [5.0] * numbers


def test_a_copy_into_pinned_memory_is_late_and_one_into_pageable_memory_waits(late: Machine) -> None:
    x = torch.ones(4, device="sim:0")
    pageable, pinned = torch.zeros(4), torch.zeros(4, pin_memory=True)
    pinned.copy_(x, non_blocking=True)
    assert pinned.tolist() == [0.0] * 4
    assert not late.ledger.syncs
    pageable.copy_(x, non_blocking=True)
    assert pageable.tolist() == [1.0] * 4
    assert late.ledger.syncs
    assert pinned.tolist() == [1.0] * 4, "the same stream did both, in order"
    assert x.to("cpu", non_blocking=True).isnan().all(), "torch pins what it returns, and nobody waited"


def test_pinned_memory_is_known(machine: Machine) -> None:
    assert torch.empty(3, pin_memory=True).is_pinned()
    assert torch.empty(3).pin_memory()[1:].is_pinned()
    assert SimPort().pinned(8).view(torch.int64).is_pinned()
    assert not torch.empty(3).is_pinned()


def test_events_order_streams_and_the_host(machine: Machine) -> None:
    side, x = module().Stream("sim:0"), values(64).pin_memory()  # type: ignore[attr-defined]
    y = torch.zeros(64, device="sim:0")
    side.wait_stream(module().current_stream("sim:0"))  # type: ignore[attr-defined]
    with module().stream(side):  # type: ignore[attr-defined]
        y.copy_(x, non_blocking=True)
        copied = side.record_event()
    copied.wait()
    z = (y + 1).to("cpu", non_blocking=True)
    done = module().Event()  # type: ignore[attr-defined]
    done.record()
    done.synchronize()
    assert copied.query()
    assert torch.equal(z, x + 1)


def test_a_missing_event_shows(late: Machine) -> None:
    side, x = module().Stream("sim:0"), values(64).pin_memory()  # type: ignore[attr-defined]
    y = torch.zeros(64, device="sim:0")
    with module().stream(side):  # type: ignore[attr-defined]
        y.copy_(x, non_blocking=True)
    assert not y.cpu().any()


def test_an_event_that_is_polled_happens(late: Machine) -> None:
    event = module().Event()  # type: ignore[attr-defined]
    assert event.query(), "it was never recorded"
    event.record()
    assert not event.query()
    assert any(event.query() for _ in range(POLLS))
    assert not late.ledger.syncs


def test_words_are_written_and_awaited_in_stream_order(machine: Machine) -> None:
    port: DevicePort = SimPort()
    ready, done = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    port.wait(ready, 3)
    x = torch.ones(2, device="sim:0")
    port.write(done, 5)
    with pytest.raises(Stalled):
        x.cpu()
    assert int(done) == 0
    ready.fill_(3)
    assert x.tolist() == [1.0, 1.0]
    machine.finish()
    assert int(done) == 5


def test_a_word_that_another_stream_writes_releases_the_one_that_waits(machine: Machine) -> None:
    word, port, other = torch.zeros(1, dtype=torch.int64), SimPort(0), SimPort(1)
    port.wait(word, 1)
    x = torch.ones(2, device="sim:0")
    other.write(word, 1)
    assert x.tolist() == [1.0, 1.0]


def test_memory_that_nobody_wrote_is_not_a_number(machine: Machine) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        assert torch.empty(5, dtype=dtype, device="sim:0").isnan().cpu().all()
    assert (torch.empty(5, dtype=torch.int32, device="sim:0") == -1).cpu().all()


@pytest.mark.parametrize("recorded", [False, True])
def test_freed_memory_is_poisoned_for_other_streams_unless_they_were_recorded(late: Machine, recorded: bool) -> None:
    side = module().Stream("sim:0")  # type: ignore[attr-defined]
    x = torch.ones(8, device="sim:0")
    side.wait_stream(module().current_stream("sim:0"))  # type: ignore[attr-defined]
    with module().stream(side):  # type: ignore[attr-defined]
        y = x + 1
    if recorded:
        x.record_stream(side)
    del x
    gc.collect()
    side.synchronize()
    assert (y.raw == 2).all() == recorded


def test_freed_memory_is_still_there_for_work_of_its_own_stream(machine: Machine) -> None:
    x = torch.ones(8, device="sim:0")
    y = x + 1
    del x
    assert y.tolist() == [2.0] * 8


def test_contexts_are_those_of_the_devices_that_were_used(machine: Machine) -> None:
    assert machine.ledger.contexts == set()
    x = values(3).to("sim:0", non_blocking=True)
    assert machine.ledger.contexts == {0}
    x.to("sim:1")
    assert machine.ledger.contexts == {0, 1}
    module().is_available()  # type: ignore[attr-defined]
    assert machine.ledger.queries == 1


def test_an_error_on_the_device_shows_when_the_host_waits(machine: Machine) -> None:
    x = torch.ones(3, device="sim:0")
    x[torch.tensor([7]).to("sim:0", non_blocking=True)]
    with pytest.raises(RuntimeError, match="failed"):
        x.cpu()


def test_schedules_are_the_same_again() -> None:
    def order(seed: int) -> list[int]:
        done: list[int] = []
        with Machine(seed) as machine:
            for k in range(40):
                machine.launch(lambda k=k: done.append(k), k % 2, [])  # type: ignore[misc]
            machine.finish()
        return done

    assert order(5) == order(5)
    assert len({tuple(order(seed)) for seed in range(12)}) > 3
