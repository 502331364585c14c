"""Holds towers to the bound of ``plumbline.oracle`` in a test; and the plain tower as an oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plumbline.interface import BadCheckpoint, Packed
from plumbline.oracle import Oracle, distances
from plumbline.resolve import SpecError
from tests.numerics.towers import outputs, tower_of

Record = Callable[[str, object], None]


def hold(
    record: Record, what: str, found: Sequence[Tensor], wanted: Sequence[Tensor], *sigmas: Sequence[Tensor]
) -> None:
    """Asserts that the distance is within the bound, and records it as a property of the test."""
    for level, distance in enumerate(distances(found, wanted, *sigmas)):
        line = f"output {level}: {distance}"
        record(what, line)
        print(what, line)
        assert distance.share <= 1, line


def oracle_of(folder: Path, family: str) -> Oracle:
    """transformers' tower. Skips where it is not installed, or has no such family."""
    try:
        return Oracle(folder, family)
    except (SpecError, BadCheckpoint) as error:
        pytest.skip(str(error))


class PlainOracle(Oracle):
    """The plain tower in float64 in the place of transformers': nothing in it is float32 but angles and times."""

    def __init__(self, folder: Path, family: str) -> None:
        self.family, self.exact = family, tower_of(folder, torch.float64)

    def run(self, model: Any, call: Packed) -> list[Tensor]:
        return outputs(model(call))

    def weights(self, model: Any) -> Iterable[tuple[str, Tensor]]:
        return model.weights.items()  # type: ignore[no-any-return]
