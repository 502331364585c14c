"""The number of rows that a tower pads each of its linears to, as seen from below, where torch is asked to multiply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from plumbline.interface import Capability
from plumbline.judge_tower import tower_of
from plumbline.parts import claimed, loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.towers import call_of

pytestmark = pytest.mark.usefixtures("single_thread")

aten = torch.ops.aten
OPERANDS = {aten.addmm.default: (1, 2, True), aten.mm.default: (0, 1, True), aten.linear.default: (0, 1, False)}
"""Which arguments are the rows and the weight, and whether the weight lies there as [inputs, outputs]."""
FLOOR = 24


class Rows(TorchDispatchMode):
    """seen: by shape of the weight, (outputs, inputs), one of ``shapes``, the fewest rows of a product with it."""

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self._shapes = set(shapes)
        self.seen: dict[tuple[int, int], int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in OPERANDS:
            rows, weight, turned = OPERANDS[func]
            shape = tuple(args[weight].shape)
            shape = shape[::-1] if turned else shape
            if shape in self._shapes:
                count = args[rows].numel() // args[rows].shape[-1]
                self.seen[shape] = min(count, self.seen.get(shape, count))
        return func(*args, **(kwargs or {}))


@pytest.mark.requirement("NUM-001")
@pytest.mark.parametrize("family", FAMILIES)
def test_each_linear_gets_as_many_rows_as_its_floor(subject: Subject, family: str, tmp_path: Path) -> None:
    """In calls of fewer patches than the floor, and of more than the linears are wide."""
    claimed(subject, Capability.TOWERS)
    loads(subject, family, tmp_path / "each")
    tower = tower_of(subject.implementation, checkpoint(tmp_path / "one", family=family), HostPort())
    tower.row_floor = FLOOR
    for height in (2, 4, 6, 10, 14, 22, 34, 38, 52, 68):
        with Rows(tower.linear_shapes) as rows:
            tower(call_of(tower, (1, height, 2)))
        low = {shape: count for shape, count in rows.seen.items() if count < FLOOR}
        assert not low, f"{2 * height} patches: linears (outputs, inputs) of fewer rows than {FLOOR}: {low}"
