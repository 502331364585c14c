"""Certificates of invariance: what they say, where they are refused, and that they are not given for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.certify import Certificate, NotCertified, certify, smallest_floor
from plumbline.interface import Encoded, Item, Layout, Modality, Packed, TowerSpec
from plumbline.small_tower import checkpoint
from reference.towers.arithmetic import PlainTower
from tests.numerics.towers import COUNTS, tower_of

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def certified(small: Path) -> tuple[PlainTower, Certificate]:
    tower = tower_of(small)
    return tower, certify(tower, COUNTS)


@pytest.mark.requirement("NUM-004")
def test_a_certificate_says_what_it_is_for(certified: tuple[PlainTower, Certificate]) -> None:
    tower, certificate = certified
    raw = json.loads(certificate.to_json())
    assert raw["setting"]["device"]
    assert raw["setting"]["torch"] == torch.__version__
    assert raw["setting"]["dtype"] == "torch.float32"
    assert sorted(map(tuple, raw["shapes"])) == [
        (48, 256),
        (64, 64),
        (64, 128),
        (64, 1536),
        (128, 64),
        (192, 64),
        (256, 256),
    ]
    assert raw["row_floor"] == tower.row_floor
    assert raw["invariant"] is True
    assert "video (3, 4, 6)" in raw["items"]
    again = Certificate.from_json(certificate.to_json())
    assert again == certificate
    again.check(tower)


@pytest.mark.requirement("NUM-004")
@pytest.mark.parametrize(
    "change", [{"device": "another"}, {"capability": "another"}, {"torch": "0.4"}, {"libraries": ()}, {"threads": 77},
               {"dtype": "torch.float16"}, {"float32_precision": "medium"}], ids=lambda change: next(iter(change))
)  # fmt: skip
def test_a_certificate_of_another_setting_is_refused(
    certified: tuple[PlainTower, Certificate], change: dict[str, Any]
) -> None:
    tower, certificate = certified
    with pytest.raises(NotCertified, match=next(iter(change))):
        replace(certificate, setting=replace(certificate.setting, **change)).check(tower)


@pytest.mark.requirement("NUM-004")
def test_a_certificate_is_refused_for_another_tower(
    certified: tuple[PlainTower, Certificate], small: Path, tmp_path: Path
) -> None:
    tower, certificate = certified
    changed_floor = tower_of(small)
    changed_floor.row_floor = tower.row_floor + 1
    with pytest.raises(NotCertified, match="row_floor"):
        certificate.check(changed_floor)
    with pytest.raises(NotCertified, match="dtype"):
        certificate.check(tower_of(small, torch.bfloat16))
    with pytest.raises(NotCertified, match="shapes"):
        certificate.check(tower_of(checkpoint(tmp_path, intermediate_size=132)))
    torch.set_num_threads(2)
    try:
        with pytest.raises(NotCertified, match="threads"):
            certificate.check(tower)
    finally:
        torch.set_num_threads(1)


@pytest.mark.requirement("NUM-004")
@pytest.mark.parametrize("text", ["", "{}", "[]", '{"invariant": true, "setting": {}}'])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(NotCertified, match="not a certificate"):
        Certificate.from_json(text)


class TileTower:
    """A tower without grids, which can be asked to look at its company."""

    linear_shapes: tuple[tuple[int, int], ...] = ((6, 4),)
    device = torch.device("cpu")
    epoch = 0

    def __init__(self, nosy: bool) -> None:
        self.nosy, self.row_floor = nosy, 1
        layout = Layout(placeholder_id=9, patch_shape=(4,), has_grid=False)
        self.spec = TowerSpec("tiles", 6, 0, 10, torch.float32, frozenset({torch.float32}), {Modality.IMAGE: layout})

    def rows(self, item: Item) -> int:
        raise NotImplementedError

    def __call__(self, packed: Packed) -> Encoded:
        padding = max(0, self.row_floor - len(packed.patches))
        rows = F.linear(F.pad(packed.patches, (0, 0, 0, padding)), torch.ones(6, 4), torch.ones(6))[
            : len(packed.patches)
        ]
        return Encoded(rows + packed.patches.abs().max() if self.nosy else rows)


@pytest.mark.requirement("NUM-001")
@pytest.mark.requirement("NUM-004")
def test_a_tower_that_looks_at_its_company_is_not_certified() -> None:
    honest, nosy = TileTower(nosy=False), TileTower(nosy=True)
    certify(honest, COUNTS).check(honest)
    certificate = certify(nosy, COUNTS)
    assert not certificate.invariant
    assert certificate.broken
    with pytest.raises(NotCertified, match=r"image \("):
        certificate.check(nosy)


class FusingTower(TileTower):
    """Evaluates its linear by a kernel that rounds otherwise where there are fewer than five rows."""

    def fused_linears(self) -> dict[tuple[int, int], Callable[[Tensor, Tensor, Tensor], Tensor]]:
        def fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            rows = F.linear(x.double(), weight.double(), bias.double()).float()
            return rows if len(x) >= 5 else rows.nextafter(rows + 1)

        return dict.fromkeys(self.linear_shapes, fused)


@pytest.mark.requirement("NUM-004")
def test_linears_are_measured_as_they_are_evaluated() -> None:
    fusing = FusingTower(nosy=False)
    certificate = certify(fusing, COUNTS)
    assert {(6, 4, count) for count in range(1, 5)} <= set(certificate.differing)
    assert fusing.row_floor >= 5


@pytest.mark.requirement("NUM-004")
def test_a_floor_needs_enough_that_agrees_above_it(certified: tuple[PlainTower, Certificate]) -> None:
    counts = (1, 2, 3, 4, 8, 16)
    assert smallest_floor(counts, set()) == 1
    assert smallest_floor(counts, {1, 3}) == 4
    assert smallest_floor(counts, {4}) == 8
    assert smallest_floor(counts, {8}) is None
    tower, certificate = certified
    with pytest.raises(NotCertified, match="no row floor"):
        replace(certificate, row_floor=None).check(tower)
