"""Photos through whole towers: right ones pass, wrong ones are named with the requirement that they break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

import reference.towers
from optimized.encode import PackingEncoder
from plumbline import photo_towers
from plumbline.certify import Certificate, certify
from plumbline.interface import (
    Checkpoint,
    DevicePort,
    Encoded,
    EncodingFailed,
    Item,
    LoadedTower,
    Packed,
    PlumblineError,
)
from plumbline.photo_families import FAMILIES
from plumbline.photo_towers import PLAIN, run_towers
from plumbline.resolve import Subject, resolve
from plumbline.results import build_report
from plumbline.suite import Outcome
from reference.towers import kimi_k25, qwen
from reference.towers.arithmetic import axial_angles

Report = dict[tuple[str, str], dict[str, Any]]
"""By family and implementation."""


def swapped(row: Tensor, column: Tensor, head: int, theta: float) -> tuple[Tensor, Tensor]:
    return axial_angles(column, row, head, theta)


class Around:
    """A plain tower in which something is wrong. Everything else is that tower's."""

    def __init__(self, checkpoint: Checkpoint, port: DevicePort) -> None:
        self.__dict__["tower"] = reference.towers.load(checkpoint, port)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tower, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.tower, name, value)

    def __call__(self, packed: Packed) -> Encoded:
        encoded: Encoded = self.tower(packed)
        return encoded


class Swaps(Around):
    """Rows and columns."""

    def __call__(self, packed: Packed) -> Encoded:
        with mock.patch.object(qwen, "axial_angles", swapped), mock.patch.object(kimi_k25, "axial_angles", swapped):
            return super().__call__(packed)


class FeelsCompany(Around):
    """By one bit of one number, far within the bound."""

    def __call__(self, packed: Packed) -> Encoded:
        encoded = super().__call__(packed)
        if len(packed.items) > 1:
            encoded.rows[0, :1].view(torch.int32)[0] ^= 1
        return encoded


class NoNumbers(Around):
    def __call__(self, packed: Packed) -> Encoded:
        encoded = super().__call__(packed)
        return replace(encoded, rows=encoded.rows * torch.nan)


class MixesUp(PackingEncoder):
    """In company, gives the first two photos, which have one size, each other's rows."""

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = super().encode(items)
        return [*reversed(results[:2]), *results[2:]]


class Shortens(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        whole = [result for result in super().encode(items) if isinstance(result, Encoded)]
        return [replace(encoded, rows=encoded.rows[:, :-1]) for encoded in whole]


class Fails(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return [EncodingFailed("out of sorts") for _ in items]


def broken(name: str, **parts: Any) -> Subject:
    good = resolve("optimized")
    return replace(good, implementation=replace(good.implementation, name=name, **parts))


def by_name(found: Sequence[dict[str, Any]]) -> Report:
    return {(entry["family"], entry["implementation"]): entry for entry in found}


@pytest.fixture(scope="module")
def phases() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(phases: list[str]) -> Report:
    subjects = [
        resolve("reference"),
        resolve("optimized"),
        broken("swaps", tower=Swaps),
        broken("feels company", tower=FeelsCompany),
        broken("no numbers", tower=NoNumbers),
        broken("short", encoder=Shortens),
        broken("mixes up", encoder=MixesUp),
        broken("fails", encoder=Fails),
        broken("has none", tower=None),
    ]
    return by_name(run_towers(None, subjects, phases.append))


families = pytest.mark.parametrize("family", FAMILIES)


@families
@pytest.mark.parametrize("name", ["reference", "optimized"])
def test_right_towers_pass(found: Report, family: str, name: str) -> None:
    entry = found[family, name]
    assert entry["wrong"] == []
    assert entry["identical"] is (None if entry["row_floor"] is None else True)
    compared = {distance["to"]: distance["requirement"] for distance in entry["distances"]}
    theirs = ["transformers float32", "transformers float64"]
    if name == "reference":
        assert compared == dict(zip(theirs, ("NUM-002", "NUM-003"), strict=True))
    else:
        assert compared == dict.fromkeys([PLAIN, *theirs], "NUM-006")
    for distance in entry["distances"]:
        assert 0 < distance["rms_ulp"] <= distance["largest_ulp"]
        assert 0 < max(distance["rms_share"], distance["largest_share"]) <= 1
    assert len(entry["shots"]) == 4


@families
def test_a_tower_with_rows_and_columns_swapped_is_named(found: Report, family: str) -> None:
    entry = found[family, "swaps"]
    assert [line.split(",")[0] for line in entry["wrong"]] == ["NUM-006: beyond the bound"] * 3
    assert all(max(distance["rms_share"], distance["largest_share"]) > 10 for distance in entry["distances"])


@families
def test_bits_that_depend_on_company_are_found(found: Report, family: str) -> None:
    entry = found[family, "feels company"]
    if entry["row_floor"] is None:
        pytest.skip("no certificate on this machine, so nothing is claimed")
    assert entry["identical"] is False
    assert [line.split(":")[0] for line in entry["wrong"]] == ["NUM-001"] * 2
    assert "image" in entry["wrong"][0]
    assert "cat.png" in entry["wrong"][1]


@families
def test_rows_of_another_photo_are_found(found: Report, family: str) -> None:
    """Though the towers are right."""
    told = found[family, "mixes up"]["wrong"]
    assert sum(line.startswith("NUM-006: beyond the bound") for line in told) == 3
    if found[family, "mixes up"]["row_floor"] is not None:
        assert "NUM-001: the encoder gives other bits in company: cat.png, cat_one_level_up.png" in told


@families
def test_what_cannot_be_compared_is_told(found: Report, family: str) -> None:
    assert any(line == "NUM-006: some rows are no numbers" for line in found[family, "no numbers"]["wrong"])
    (told,) = found[family, "fails"]["wrong"]
    assert told.startswith("EncodingFailed: out of sorts")
    assert sum(line.startswith("NUM-006: outputs [(") for line in found[family, "short"]["wrong"]) == 3
    for name in ("no numbers", "fails", "short"):
        assert found[family, name]["distances"] == []


def test_only_who_brings_a_tower_is_asked(found: Report, phases: list[str]) -> None:
    assert not any(name == "has none" for _, name in found)
    assert not any("has none" in phase for phase in phases)
    assert len(phases) == len(found) + len(FAMILIES)
    assert run_towers(None, [broken("has none", tower=None)], phases.append) == []


def no_floor(tower: LoadedTower, *rest: Any) -> Certificate:
    return replace(certify(tower, (64, 128), []), row_floor=None)


def test_without_a_certificate_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_towers, "certify", no_floor)
    monkeypatch.setattr(photo_towers, "FAMILIES", ["kimi_k25"])
    (entry,) = run_towers(None, [broken("feels company", tower=FeelsCompany)], lambda phase: None)
    assert entry["row_floor"] is None
    assert entry["identical"] is None
    assert entry["wrong"] == []


def session(towers: Sequence[dict[str, Any]], folder: Path) -> str:
    """The verdict of a session in which everything else held."""
    held = Outcome("tests/test_it.py::test_it", "optimized", ("NUM-001",), "passed", "", 0.0)
    photos = {"identical": True, "towers": list(towers)}
    report = build_report([resolve("optimized")], [held], [], photos, "quick", 0, 0.0, "", folder)
    return str(report["verdict"])


def test_a_wrong_tower_fails_the_session(found: Report, tmp_path: Path) -> None:
    right = [entry for (_, name), entry in found.items() if name in ("reference", "optimized")]
    assert session(right, tmp_path) == "conforms"
    for name in ("swaps", "mixes up", "no numbers", "short", "fails"):
        assert session([*right, found["qwen3_vl", name]], tmp_path) == "fails"
