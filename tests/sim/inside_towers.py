"""Known bugs around graphs, each over a small tower that is right: stories find it by its requirement, on late schedules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from optimized.graphs import Body, Captured, GraphCache
from plumbline.interface import Checkpoint, DevicePort, Packed
from plumbline.judge_tower import TowerJudge, folders_of
from plumbline.rig import HostPort
from plumbline.sim import AT_ONCE, LATEST, Machine, SimPort
from plumbline.tower_calls import Story, stories
from tests.sim.graphed_tower import HIDDEN, SIDE_WEIGHT, WEIGHT, GraphedTower, implementation

SEED = 1
DRAWN = range(1, 6)
"""Schedules; what two streams do to each other shows only where both go on by turns."""


class SharedWorkspace(GraphedTower):
    """B071: one table for all graphs, made anew for a larger call."""

    table: Tensor | None = None

    def body(self, packed: Packed) -> Body:
        bucket = max(16, 1 << (len(packed.patches) - 1).bit_length())
        if self.table is None or len(self.table) < bucket:
            self.table = torch.arange(bucket, dtype=torch.float64, device=self.device)
        return self.with_table

    def with_table(self, room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        assert self.table is not None
        return self.forward(room + 0 * self.table[: len(room), None], numbers)


class RowsOfTheCapture(GraphedTower):
    """B072: the cuts of a call are numbers of Python, and the graph is found by its size alone."""

    def body(self, packed: Packed) -> Body:
        return partial(self.cut, packed.cu_seqlens.diff().tolist())

    def cut(self, lengths: list[int], room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        x = (room * 64).round() @ self.weights[WEIGHT].T
        parts = x.split([*lengths, len(x) - sum(lengths)])
        rows = torch.cat([part + part.sum(0) for part in parts]).view(-1, 4, HIDDEN).sum(1)
        return rows, rows.remainder(1024) @ self.weights[SIDE_WEIGHT][:HIDDEN].T


class UnwrittenPadding(GraphedTower):
    """B074: rows beyond the call's are left as they were."""

    def room(self, bucket: int) -> Tensor:
        return torch.empty(bucket, 1536, dtype=torch.float64, device=self.device)


class WeakCache(GraphCache):
    """B075: what the body closed over is not kept."""

    def _capture(self, key: object, body: Body, inputs: Sequence[Tensor]) -> Captured:
        self._captured[key] = dataclasses.replace(super()._capture(key, body, inputs), body=lambda: ())
        return self._captured[key]


class WeaklyHeldTable(GraphedTower):
    cache = WeakCache

    def body(self, packed: Packed) -> Body:
        return partial(self.scaled, torch.ones(HIDDEN, dtype=torch.float64, device=self.device))

    def scaled(self, scale: Tensor, room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        rows, side = self.forward(room, numbers)
        return rows * scale, side * scale


class BranchOfTheCapture(GraphedTower):
    """B077: what the first call did not need is not in the graph: here, segments beyond the first."""

    def body(self, packed: Packed) -> Body:
        return self.forward if len(packed.cu_seqlens) > 2 else self.joined

    def joined(self, room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        return self.forward(room, torch.zeros_like(numbers))


class ReplacedWeights(GraphedTower):
    """An update that puts other tensors in the place of those that graphs read."""

    def update(self, folder: Path, epoch: int) -> None:
        self.weights = {name: self.port.move(value) for name, value in self.read(folder).items()}
        self.epoch = epoch


class KeptWeights(ReplacedWeights):
    """The same, and the old ones are still there."""

    def body(self, packed: Packed) -> Body:
        return partial(self.with_weights, self.weights)

    def with_weights(self, weights: dict[str, Tensor], room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        return self.forward(room, numbers)


class LentCache(GraphCache):
    """B066's kin: callers get the graph's own outputs, which the next replay writes again."""

    def __call__(self, key: object, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        super().__call__(key, body, inputs)
        return self._captured[key].outputs


class LentOutputs(GraphedTower):
    cache = LentCache


class UnorderedCache(GraphCache):
    """Replays of one graph on two streams, each in its caller's."""

    def __call__(self, key: object, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        captured = self._captured.get(key) or self._capture(key, body, inputs)
        for static, given in zip(captured.inputs, inputs, strict=True):
            static.copy_(given)
        captured.graph.replay()
        return tuple(output.clone() for output in captured.outputs)


class Unordered(GraphedTower):
    cache = UnorderedCache


BROKEN: dict[type[GraphedTower], str] = {
    SharedWorkspace: "GRAPH-003",
    RowsOfTheCapture: "GRAPH-001",
    UnwrittenPadding: "GRAPH-002",
    WeaklyHeldTable: "GRAPH-004",
    BranchOfTheCapture: "GRAPH-005",
    ReplacedWeights: "EPOCH-003",
    KeptWeights: "EPOCH-003",
    LentOutputs: "GRAPH-006",
    Unordered: "GRAPH-003",
}
"""By the requirement that must be found broken."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return folders_of(tmp_path_factory.mktemp("towers"))


def found(judge: TowerJudge, told: Iterator[Story], seed: int) -> set[str]:
    broken = set()
    for story in told:
        with Machine(seed):
            broken |= {violation.requirement for violation in judge.judge(story).violations}
    return broken


def judge_of(tower: Callable[[Checkpoint, DevicePort], GraphedTower], folders: list[Path]) -> TowerJudge:
    return TowerJudge(
        dataclasses.replace(implementation, tower=tower), folders, SimPort, row_floor=1, alone_on=HostPort
    )


@pytest.mark.parametrize("seed", [LATEST, AT_ONCE, 3])
def test_a_tower_that_is_right_passes(folders: list[Path], seed: int) -> None:
    assert not found(judge_of(GraphedTower, folders), stories(SEED, videos=True), seed)


@pytest.mark.parametrize(("tower", "requirement"), BROKEN.items(), ids=[tower.__name__ for tower in BROKEN])
def test_a_known_bug_is_found_by_its_requirement(
    folders: list[Path], tower: type[GraphedTower], requirement: str
) -> None:
    judge = judge_of(tower, folders)
    told = [s for s in stories(SEED, videos=True) if s.requirement in (requirement, "GRAPH-005")]
    assert any(requirement in found(judge, iter(told), seed) for seed in (LATEST, *DRAWN))
