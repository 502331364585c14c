"""Whether the bits of an item of the plain towers depend on what else is in the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from plumbline.certify import Certificate, certify, changed_in_company
from plumbline.small_tower import checkpoint
from reference.towers.arithmetic import PlainTower, by_segment
from tests.numerics.towers import CALLS, COUNTS, TOWERS, Grid, items_of, reached_by_nan, tower_of

pytestmark = pytest.mark.usefixtures("single_thread")

GRIDS = [*CALLS["several"], (1, 2, 6), (1, 10, 14), (1, 6, 6), (7, 2, 2)]


@pytest.fixture(scope="module", params=TOWERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family, sizes = TOWERS[request.param]
    return checkpoint(tmp_path_factory.mktemp("tower"), family=family, **sizes)


def changed(tower: PlainTower, grids: Sequence[Grid]) -> list[int]:
    """Places in ``grids`` whose item has other bits in some company than alone."""
    return changed_in_company(tower, items_of(tower, grids))


def certified(tower: PlainTower) -> Certificate:
    """Skips where no row floor is enough on this machine: nothing is claimed there."""
    certificate = certify(tower, COUNTS)
    if certificate.row_floor is None:
        pytest.skip(f"no row floor here: {certificate.differing}")
    assert certificate.invariant, certificate.broken
    return certificate


def hold(tower: PlainTower) -> None:
    certificate = certified(tower)
    certificate.check(tower)
    print(f"{tower.dtype}, {torch.get_num_threads()} threads: row floor {certificate.row_floor}")
    assert changed(tower, GRIDS) == []


@pytest.mark.requirement("NUM-001")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_certified_tower_gives_the_same_bits_in_any_company(folder: Path, dtype: torch.dtype) -> None:
    hold(tower_of(folder, dtype))


@pytest.mark.requirement("NUM-001")
def test_an_item_of_no_numbers_reaches_no_other(folder: Path) -> None:
    tower = tower_of(folder)
    certified(tower)
    assert reached_by_nan(tower, CALLS["several"]) == []


@pytest.mark.requirement("NUM-001")
def test_a_certified_tower_gives_the_same_bits_in_any_company_on_two_threads(tmp_path: Path) -> None:
    tower = tower_of(checkpoint(tmp_path, family="kimi_k25"))
    torch.set_num_threads(2)
    try:
        hold(tower)
    finally:
        torch.set_num_threads(1)


@pytest.mark.requirement("NUM-001")
def test_without_the_floor_bits_depend_on_company(folder: Path) -> None:
    """What the floor is for. A machine on which every row count agrees has nothing to show, and says so."""
    tower = tower_of(folder)
    certificate = certified(tower)
    merged = 4 * tower.config.hidden_size
    counts = [count for _, inputs, count in certificate.differing if inputs == merged]
    if not counts:
        pytest.skip("here the rows of a merger have the same bits among any number of rows")
    lonely = (1, 2, 2 * max(counts))
    assert changed(tower, [lonely, (1, 10, 14)]) == []
    tower.row_floor = 1
    assert 0 in changed(tower, [lonely, (1, 10, 14)])


@pytest.mark.requirement("NUM-001")
@pytest.mark.parametrize("family", ["qwen3_vl uneven", "qwen2_5_vl", "kimi_k25"])
def test_activations_of_the_whole_call_are_not_certified(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What segments are for. A machine whose vector code treats every element of these calls alike has nothing to show, and
    says so."""
    kind, sizes = TOWERS[family]
    sizes = sizes | {"intermediate_size": 101}  # however long a vector is, segments end inside of one
    tower = tower_of(checkpoint(tmp_path, family=kind, **sizes))
    certified(tower)
    differing: list[bool] = []

    def all_at_once(function: Callable[[Tensor], Tensor], x: Tensor, lengths: list[int]) -> Tensor:
        whole = function(x)
        differing.append(not torch.equal(whole, by_segment(function, x, lengths)))
        return whole

    for module in ("qwen3_vl", "qwen2_5_vl", "kimi_k25"):
        monkeypatch.setattr(f"reference.towers.{module}.by_segment", all_at_once)
    found = changed(tower, GRIDS)
    if not any(differing):
        pytest.skip("here an activation gives an element the same bits wherever its segment lies")
    assert found
