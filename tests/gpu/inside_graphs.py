"""``GraphCache`` with CUDA's own graphs: the bits of the body itself, in one launch; and stories of the optimized tower."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

import optimized
from optimized.graphs import GraphCache
from optimized.towers.tower import FastTower
from plumbline.certify import certify, same_bits
from plumbline.cuda import CudaPort
from plumbline.judge_tower import TowerJudge, encode, folders_of, levels_of, tower_of
from plumbline.tower_calls import Call, stories

WIDTH = 256
CYCLES = 50_000_000
"""Tens of milliseconds, in which everything else of a test is queued."""


@pytest.fixture(scope="module")
def port(gpus: list[str]) -> CudaPort:
    torch.cuda.set_device(gpus[0])
    return CudaPort(torch.device(gpus[0]).index)


@pytest.fixture
def drawn(request: pytest.FixtureRequest) -> torch.Generator:
    return torch.Generator().manual_seed(request.config.option.plumbline_seed)


class Body:
    """Products over cuBLAS, a sum and a product of a few rows, which cuBLAS splits over its workspace."""

    def __init__(self, drawn: torch.Generator) -> None:
        self.runs = 0
        self.up = torch.randn(4 * WIDTH, WIDTH, generator=drawn).cuda().bfloat16()
        self.down = torch.randn(WIDTH, 4 * WIDTH, generator=drawn).cuda().bfloat16()

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        self.runs += 1
        wide = torch.nn.functional.gelu(x @ self.up.T, approximate="tanh")
        return wide @ self.down.T, wide.T @ x, x.float().sum(0)


def rows_of(count: int, drawn: torch.Generator) -> Tensor:
    return torch.randn(count, WIDTH, generator=drawn).cuda().bfloat16()


def equal(got: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> bool:
    return all(same_bits(a, b) for a, b in zip(got, wanted, strict=True))


@contextmanager
def no_sync() -> Iterator[None]:
    """torch raises where an operation makes the host wait."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@torch.no_grad()
def test_replays_give_the_bits_of_eager_calls_and_what_they_gave_is_held(
    port: CudaPort, drawn: torch.Generator
) -> None:
    """Small, large, small; the same many times; rubbish in freed memory between."""
    graphs, body = GraphCache(port), Body(drawn)
    given = [rows_of(count, drawn) for count in (3, 700, 3, 3, 64, 700, 2048, 3, 64, 1, 2048, 3)]
    wanted = [body(x) for x in given]
    held = []
    for x in given:
        held.append(graphs(len(x), body, (x,)))
        for numbers in (1 << 8, 1 << 16, 1 << 22):
            torch.full((numbers,), float("nan"), device=port.device)
    for number, (got, right) in enumerate(zip(held, wanted, strict=True)):
        assert equal(got, right), f"call {number}"


@torch.no_grad()
def test_a_replay_makes_nobody_wait(port: CudaPort, drawn: torch.Generator) -> None:
    """Behind work that takes its time, while the host goes on."""
    graphs, body, x = GraphCache(port), Body(drawn), rows_of(64, drawn)
    right = graphs(64, body, (x,))
    torch.cuda.synchronize()
    with no_sync():
        torch.cuda._sleep(CYCLES)
        asleep = torch.cuda.Event()
        asleep.record()
        got = [graphs(64, body, (x,)) for _ in range(20)]
        assert not asleep.query(), "the host waited for the device"
    assert all(equal(one, right) for one in got)


@torch.no_grad()
def test_calls_on_several_streams_are_in_order(port: CudaPort, drawn: torch.Generator) -> None:
    """Streams are held up in turn, so that a call can overtake the one before wherever nothing keeps it from it."""
    graphs, body = GraphCache(port), Body(drawn)
    counts = [64, 64, 700, 64, 700, 700] * 4
    given = [rows_of(count, drawn) for count in counts]
    wanted = [body(x) for x in given]
    for count in set(counts):
        graphs(count, body, (rows_of(count, drawn),))
    streams = [torch.cuda.Stream() for _ in range(3)]
    torch.cuda.synchronize()
    held = []
    for k, x in enumerate(given):
        with torch.cuda.stream(streams[k % 3]):
            if k % 4 == 0:
                torch.cuda._sleep(CYCLES // 20)
            held.append(graphs(len(x), body, (x,)))
    torch.cuda.synchronize()
    for number, (got, right) in enumerate(zip(held, wanted, strict=True)):
        assert equal(got, right), f"call {number}"


@torch.no_grad()
def test_weights_change_in_place(port: CudaPort, drawn: torch.Generator) -> None:
    graphs, body, x = GraphCache(port), Body(drawn), rows_of(64, drawn)
    before = body(x)
    first = graphs(64, body, (x,))
    body.up.copy_(body.up.roll(1, 0))
    body.down.copy_(body.down.roll(3, 1))
    second = graphs(64, body, (x,))
    after = body(x)
    assert equal(first, before)
    assert equal(second, after)
    assert not equal(first, second)


@torch.no_grad()
def test_what_a_graph_reads_lives_as_long_as_it(port: CudaPort, drawn: torch.Generator) -> None:
    """The body and the first inputs are gone, and their memory is given away and written."""
    graphs, x, y = GraphCache(port), rows_of(64, drawn), rows_of(64, drawn)
    body = Body(drawn)
    wanted = body(y)
    graphs(64, body, (x,))
    del x, body
    gc.collect()
    for _ in range(50):
        torch.full((1 << 20,), float("nan"), device=port.device)
    assert equal(graphs(64, lambda _: (), (y,)), wanted)


@torch.no_grad()
def test_the_least_recently_used_is_dropped_and_memory_stays_bounded(port: CudaPort, drawn: torch.Generator) -> None:
    graphs, body, x = GraphCache(port, limit=2), Body(drawn), rows_of(512, drawn)
    wanted = body(x)
    body.runs = 0
    for key, captures in ((1, 1), (2, 1), (1, 0), (3, 1), (1, 0), (2, 1)):
        before = body.runs
        assert equal(graphs(key, body, (x,)), wanted)
        assert body.runs == before + 2 * captures
    reserved = []
    for key in range(100, 130):
        graphs(key, body, (x,))
        reserved.append(torch.cuda.memory_reserved())
    assert max(reserved[10:]) <= max(reserved[:10]), reserved


@torch.no_grad()
@pytest.mark.parametrize("at", [1, 2])
def test_a_body_that_raises_leaves_nothing_behind(port: CudaPort, drawn: torch.Generator, at: int) -> None:
    """In its warm-up and in its capture."""

    class Raises(Body):
        def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
            found = super().__call__(x)
            if self.runs == at:
                raise KeyError("no such kernel")
            return found

    graphs, body, x = GraphCache(port), Raises(drawn), rows_of(64, drawn)
    with pytest.raises(KeyError):
        graphs(64, body, (x,))
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert equal(graphs(64, body, (x,)), body(x))


@torch.no_grad()
def test_a_body_that_waits_for_the_device_is_refused_and_others_are_not_harmed(
    port: CudaPort, drawn: torch.Generator
) -> None:
    graphs, body, x = GraphCache(port), Body(drawn), rows_of(64, drawn)
    wanted = body(x)
    with pytest.raises(RuntimeError):
        graphs("waits", lambda x: (x * x.sum().item(),), (x,))
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert equal(graphs(64, body, (x,)), wanted)


def test_a_first_call_in_inference_mode_binds_nobody(port: CudaPort, drawn: torch.Generator) -> None:
    graphs, body, x = GraphCache(port), Body(drawn), rows_of(64, drawn)
    with torch.inference_mode():
        first = graphs(64, body, (x.clone(),))
    with torch.no_grad():
        assert equal(graphs(64, body, (x,)), first)
    assert equal(graphs(64, body, (x,)), first)


def test_inputs_of_another_kind_are_refused(port: CudaPort, drawn: torch.Generator) -> None:
    graphs, body, x = GraphCache(port), Body(drawn), rows_of(64, drawn)
    wanted = graphs(64, body, (x,))
    for other in (x[1:], x.float(), x.cpu()):
        with pytest.raises(ValueError, match="this graph has inputs"):
            graphs(64, body, (other,))
    assert equal(graphs(64, body, (x,)), wanted)


SIZES: dict[str, dict[str, int]] = {
    "qwen3_vl": {},
    "qwen2_5_vl": {"hidden_size": 64, "num_heads": 4, "intermediate_size": 128},
    "kimi_k25": {"intermediate_size": 128},
}
"""Of small towers whose rows are whole vectors. cuBLAS has other kernels for others."""


@pytest.fixture(scope="module", params=SIZES)
def judge(port: CudaPort, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TowerJudge:
    folders = folders_of(tmp_path_factory.mktemp("towers"), family=request.param, **SIZES[request.param])
    certificate = certify(tower_of(optimized.implementation, folders[0], port, torch.bfloat16))
    assert certificate.invariant, certificate.broken
    assert certificate.row_floor is not None
    floor = certificate.row_floor
    return TowerJudge(optimized.implementation, folders, lambda: port, floor, lambda: port, torch.bfloat16)


def test_each_picture_has_its_own_rows_in_every_call(judge: TowerJudge, request: pytest.FixtureRequest) -> None:
    for story in stories(request.config.option.plumbline_seed, videos=True):
        assert not judge.judge(story).violations


def test_a_captured_call_of_a_tower_has_the_bits_of_its_eager_one(
    judge: TowerJudge, port: CudaPort, request: pytest.FixtureRequest
) -> None:
    """Its first call and a replay, against the same tower without graphs. Single pictures are no measure: those are captured
    as well."""
    captured, eager = judge.load(0, port), judge.load(0, port)
    assert isinstance(captured, FastTower)
    assert isinstance(eager, FastTower)
    assert captured.graphs is not None
    eager.graphs = None
    steps = [step for story in stories(request.config.option.plumbline_seed, videos=True) for step in story.steps]
    for call in [step for step in steps if isinstance(step, Call)]:
        wanted = levels_of(encode(eager, call, port))
        for _ in range(2):
            assert equal(levels_of(encode(captured, call, port)), wanted), call
