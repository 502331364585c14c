"""Graphs on the simulated device behave as CUDA's, and ``GraphCache`` on them: as the body itself, in one launch."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from optimized.graphs import GraphCache
from plumbline.sim import AT_ONCE, LATEST, Machine, SimPort

SCHEDULES = [LATEST, AT_ONCE, *range(1, 7)]


@pytest.fixture(params=SCHEDULES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with Machine(request.param) as machine:
        yield machine


def module() -> Any:
    return torch.get_device_module("sim")


def ones(*shape: int) -> Tensor:
    return torch.ones(shape, device="sim:0")


class Counted:
    """x -> x * scale + the number of rows, and how often the body ran."""

    def __init__(self) -> None:
        self.runs = 0
        self.scale = ones(1)

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        self.runs += 1
        return x * self.scale + len(x), x.sum(0)


# ------------------------------------------------------------------------------------------------------------- the device


def test_a_capture_does_nothing_and_a_replay_does_it_with_the_values_of_now(machine: Machine) -> None:
    x, graph = ones(4), module().CUDAGraph()
    with module().graph(graph):
        y = x * 2 + 1
        x.add_(1)
    assert x.tolist() == [1.0] * 4
    assert y.isnan().all().item()
    graph.replay()
    assert (x.tolist(), y.tolist()) == ([2.0] * 4, [3.0] * 4)
    x.fill_(10)
    graph.replay()
    assert (x.tolist(), y.tolist()) == ([11.0] * 4, [21.0] * 4)


def test_numbers_of_python_are_those_of_the_capture(machine: Machine) -> None:
    x, graph, factor = ones(4), module().CUDAGraph(), 2
    with module().graph(graph):
        y = x * factor
    factor = 3
    graph.replay()
    assert y.tolist() == [2.0] * 4


def test_a_replay_finds_its_own_memory_unwritten(machine: Machine) -> None:
    graph = module().CUDAGraph()
    x = ones(4)
    with module().graph(graph):
        room = torch.empty(8, device="sim:0")
        room[:4].copy_(x)
    for _ in range(2):
        graph.replay()
        assert room[:4].tolist() == [1.0] * 4
        assert room[4:].isnan().all().item()
        room.fill_(0)


def test_memory_that_was_freed_since_is_poison_in_a_replay(machine: Machine) -> None:
    x, table, graph = ones(4), ones(4), module().CUDAGraph()
    with module().graph(graph):
        y = x + table
    graph.replay()
    assert y.tolist() == [2.0] * 4
    del table
    gc.collect()
    graph.replay()
    assert y.isnan().all().item()


@pytest.mark.parametrize("shared", [False, True])
def test_graphs_of_one_pool_write_where_the_other_had_given_back(machine: Machine, shared: bool) -> None:
    """The first graph's output is kept by its bytes alone, as a weak reference would."""
    first, second, x = module().CUDAGraph(), module().CUDAGraph(), ones(4)
    with module().graph(first):
        y = x + 1
    raw = y.raw
    del y
    gc.collect()
    with module().graph(second, pool=first.pool() if shared else None):
        z = x * 2
    first.replay()
    second.replay()
    assert z.tolist() == [2.0] * 4
    assert bool(raw.isnan().all()) == shared


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x + torch.ones(4).to("sim:0"),
        lambda x: x.copy_(torch.ones(4)),
        lambda x: module().synchronize(),
        lambda x: module().current_stream().synchronize(),
        lambda x: module().current_stream().record_event(),
        lambda x: x[x > 0],
    ],
)
def test_what_waits_for_the_device_is_refused_in_a_capture(machine: Machine, forbidden: Any) -> None:
    x, graph = ones(4), module().CUDAGraph()
    with (
        module().stream(module().Stream("sim:0")) as stream,
        pytest.raises(RuntimeError, match="previous error during capture") as raised,
        module().graph(graph, stream=stream),
    ):
        forbidden(x)
    assert "not permitted when stream is capturing" in str(raised.value.__context__)
    assert not module().is_current_stream_capturing()
    assert x.tolist() == [1.0] * 4
    with pytest.raises(RuntimeError, match="replay"):
        graph.replay()


def test_a_default_stream_cannot_be_captured(machine: Machine) -> None:
    with pytest.raises(RuntimeError, match="non-default"):
        module().CUDAGraph().capture_begin()


# -------------------------------------------------------------------------------------------------------------- the cache


def test_every_call_is_as_the_body_itself(machine: Machine) -> None:
    graphs, body = GraphCache(SimPort()), Counted()
    given = [torch.full((rows, 2), float(k), device="sim:0") for k, rows in enumerate((3, 5, 3, 4, 5, 3, 3))]
    kept = [graphs(len(x), body, (x,)) for x in given]
    assert body.runs == 2 * 3
    for x, (y, total) in zip(given, kept, strict=True):
        assert torch.equal(y.cpu(), x.cpu() + len(x))
        assert torch.equal(total.cpu(), x.cpu().sum(0))


def test_a_replay_waits_for_nothing(machine: Machine) -> None:
    graphs, body, x = GraphCache(SimPort()), Counted(), ones(3, 2)
    graphs(3, body, (x,))
    before = len(machine.ledger.syncs)
    for _ in range(5):
        graphs(3, body, (x,))
    assert len(machine.ledger.syncs) == before


def test_calls_on_several_streams_are_in_order(machine: Machine) -> None:
    graphs, body = GraphCache(SimPort()), Counted()
    streams = [module().current_stream(), module().Stream(), module().Stream()]
    module().synchronize()
    made = []
    for k in range(12):
        with module().stream(streams[k % 3]):
            x = torch.full((3, 2), float(k), device="sim:0")
            made.append(graphs(3, body, (x,))[0])
    for k, y in enumerate(made):
        with module().stream(streams[k % 3]):
            assert y.tolist() == [[k + 3.0] * 2] * 3


def test_what_is_closed_over_changes_in_place(machine: Machine) -> None:
    graphs, body, x = GraphCache(SimPort()), Counted(), ones(3, 2)
    before = graphs(3, body, (x,))[0]
    body.scale.fill_(5)
    after = graphs(3, body, (x,))[0]
    assert before.tolist() == [[4.0] * 2] * 3
    assert after.tolist() == [[8.0] * 2] * 3


def test_what_a_graph_reads_lives_as_long_as_it(machine: Machine) -> None:
    graphs = GraphCache(SimPort())
    x = ones(3, 2)
    first = graphs(3, Counted(), (x,))[0]
    del x
    gc.collect()
    again = graphs(3, Counted(), (ones(3, 2),))[0]
    assert first.tolist() == again.tolist() == [[4.0] * 2] * 3


def test_the_least_recently_used_is_dropped_and_captured_again(machine: Machine) -> None:
    graphs, body = GraphCache(SimPort(), limit=2), Counted()
    for rows, captures in ((1, 1), (2, 1), (1, 0), (3, 1), (1, 0), (2, 1)):
        before = body.runs
        y = graphs(rows, body, (ones(rows, 2),))[0]
        assert body.runs == before + 2 * captures
        assert y.tolist() == [[1.0 + rows] * 2] * rows


@pytest.mark.parametrize("at", [1, 2])
def test_a_body_that_raises_leaves_nothing_behind(machine: Machine, at: int) -> None:
    """In its warm-up and in its capture."""

    class Raises(Counted):
        def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
            found = super().__call__(x)
            if self.runs == at:
                raise KeyError("no such kernel")
            return found

    graphs, body, x = GraphCache(SimPort()), Raises(), ones(3, 2)
    with pytest.raises(KeyError):
        graphs(3, body, (x,))
    assert module().current_stream() is module().default_stream()
    assert graphs(3, body, (x,))[0].tolist() == [[4.0] * 2] * 3
    assert body.runs == at + 2


@pytest.mark.parametrize("at", [1, 2])
def test_what_a_body_launched_before_it_raised_has_read_its_inputs(machine: Machine, at: int) -> None:
    """Before the caller writes them again. In its warm-up and in its capture."""

    class Raises(Counted):
        def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
            if not module().is_current_stream_capturing():
                seen.copy_(x)
            self.runs += 1
            if self.runs == at:
                raise KeyError("no such kernel")
            return (x,)

    x, seen = ones(3, 2), torch.zeros(3, 2, device="sim:0")
    with pytest.raises(KeyError):
        GraphCache(SimPort())(3, Raises(), (x,))
    x.fill_(9)
    assert seen.tolist() == [[1.0] * 2] * 3


def test_nothing_is_collected_during_a_capture(machine: Machine) -> None:
    """A tower and its graphs refer to each other, so that Python's collector ends them, whenever it runs."""
    collecting = []

    def body(x: Tensor) -> tuple[Tensor, ...]:
        collecting.append(gc.isenabled())
        return (x + 1,)

    GraphCache(SimPort())("key", body, (ones(4),))
    assert collecting == [True, False]
    assert gc.isenabled()


def test_inputs_of_another_kind_are_refused(machine: Machine) -> None:
    graphs, body = GraphCache(SimPort()), Counted()
    graphs(3, body, (ones(3, 2),))
    for other in (ones(4, 2), ones(3, 2).double(), torch.ones(3, 2), ones(3, 2).to("sim:1")):
        with pytest.raises(ValueError, match="this graph has inputs"):
            graphs(3, body, (other,))
    with pytest.raises(ValueError, match="this graph has inputs"):
        graphs(3, body, (ones(3, 2), ones(3, 2)))
    assert graphs(3, body, (ones(3, 2),))[0].tolist() == [[4.0] * 2] * 3
