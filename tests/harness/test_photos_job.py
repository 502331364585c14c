"""The photo job: agreement on real photos, disagreement where there is some, and errors that name their file."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("transformers")

from optimized.encode import PackingEncoder
from plumbline import photo_files, photos
from plumbline.certify import Certificate, certify
from plumbline.interface import (
    CapabilityMissing,
    Encoded,
    EncodingFailed,
    Failure,
    Item,
    LoadedTower,
    Merge,
    Merged,
    PlumblineError,
    Prepare,
    Prepared,
    Request,
    Rows,
)
from plumbline.photo_files import FIXTURES, read_photos
from plumbline.photos import PhotoError, run_photos
from plumbline.resolve import Subject, resolve

PHOTOS = ("cat.png", "cat_one_level_up.png", "gravel.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        shutil.copy(FIXTURES / name, folder)
    return folder


# ---------------------------------------------------------------------------------------------------------- agreement


@pytest.fixture(scope="module")
def phases() -> list[str]:
    return []


@pytest.fixture(scope="module")
def report(folder: Path, phases: list[str]) -> dict[str, Any]:
    return run_photos(folder, [resolve("reference"), resolve("optimized")], phases.append)


def test_reference_and_optimized_agree(report: dict[str, Any]) -> None:
    assert report["difference"] is None
    assert report["identical"] is True
    assert report["rows"] == sum(hi - lo for request in report["requests"] for lo, hi in request["spans"]) > 0


def test_figures_show_the_work_that_was_saved(report: dict[str, Any]) -> None:
    reference, optimized = report["runs"]
    assert (reference["implementation"], optimized["implementation"]) == ("reference", "optimized")
    assert optimized["items_encoded"] < reference["items_encoded"]
    assert optimized["patches"] < reference["patches"]
    assert optimized["tower_calls"] < reference["tower_calls"]
    for run in report["runs"]:
        assert run["seconds"] > run["prepare_seconds"] > 0
        assert run["largest_call"] <= run["patches"]
        assert run["bytes_moved"] > 0


def test_requests_use_every_photo_and_share_repeat_and_cut_them(report: dict[str, Any]) -> None:
    requests = {request["id"]: request for request in report["requests"]}
    used = [set(request["images"]) for request in requests.values()]
    assert set.union(*used) == set(range(len(PHOTOS)))
    assert all(len(request["images"]) == len(request["spans"]) for request in requests.values())
    assert any(len(request["images"]) > len(set(request["images"])) for request in requests.values())
    assert sum(0 in images for images in used) > 1
    assert requests["one-photo"]["spans"] == requests["its-twin"]["spans"]
    assert requests["one-photo"]["images"] != requests["its-twin"]["images"]
    assert requests["text-only"]["images"] == []
    cuts = [lo // report["chunk"] < (hi - 1) // report["chunk"] for r in requests.values() for lo, hi in r["spans"]]
    assert sum(cuts) > 3


def test_photos_are_shown_as_stored(report: dict[str, Any]) -> None:
    assert [image["file"] for image in report["images"]] == list(PHOTOS)
    assert [(image["width"], image["height"], image["mode"]) for image in report["images"]] == [
        (320, 213, "RGB"),
        (320, 213, "RGB"),
        (400, 240, "L"),
    ]
    assert all(image["thumbnail"].startswith("data:image/png;base64,") for image in report["images"])


def test_each_phase_is_told(report: dict[str, Any], phases: list[str]) -> None:
    assert [next((name for name in ("reference", "optimized") if name in phase), "") for phase in phases] == [
        *("", ""),
        *("reference", "optimized", "optimized", "reference"),
    ]


# ------------------------------------------------------------------------------------------------------- disagreement


class SwapsTwo(PackingEncoder):
    """Gives two items of one size each other's rows, which only their values show."""

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = super().encode(items)
        grids = [item.grid_thw.tolist() if item.grid_thw is not None else None for item in items[:2]]
        if len(grids) == 2 and grids[0] == grids[1]:
            results[:2] = reversed(results[:2])
        return results


class Crashes(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        raise ZeroDivisionError("a bug")


class Fails(PackingEncoder):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return [EncodingFailed("out of sorts") for _ in items]


def flips_one_bit(merge: Merge) -> Merge:
    """A merge that changes the last bit of one side row of a chunk that ends with a placeholder."""

    def flipped(
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        merged = merge(rows, token_ids, embed_tokens, out)
        side = [level.clone() for level in merged.side]
        if rows[0].request_id == "one-photo" and rows[0].lo == 0:
            side[1][len(rows[0].positions) - 1].view(torch.int32)[-1] ^= 1
        return replace(merged, side=tuple(side))

    return flipped


def refuses_one(prepare: Prepare) -> Prepare:
    def refusing(requests: Sequence[Request]) -> list[Prepared | Failure]:
        refused = Failure("preprocessed", CapabilityMissing("not by callers"))
        return [refused if r.request_id == "preprocessed" else r for r in prepare(requests)]

    return refusing


def broken(name: str, **parts: Any) -> Subject:
    good = resolve("optimized")
    return replace(good, implementation=replace(good.implementation, name=name, **parts))


@pytest.fixture(scope="module")
def findings(folder: Path) -> dict[str, Any]:
    merge, prepare = resolve("optimized").implementation.merge, resolve("optimized").implementation.prepare
    assert merge
    assert prepare
    subjects = [
        resolve("reference"),
        broken("swaps", encoder=SwapsTwo),
        broken("flips", merge=lambda runtime: flips_one_bit(merge(runtime))),
        broken("crashes", encoder=Crashes),
        broken("fails", encoder=Fails),
        broken("refuses", prepare=lambda runtime, identify: refuses_one(prepare(runtime, identify))),
    ]
    report = run_photos(folder, subjects, lambda phase: None)
    assert report["identical"] is False
    told = dict(line.split(": ", 1) for line in report["difference"].splitlines())
    return {"told": told, "ran": [run["implementation"] for run in report["runs"]], "requests": report["requests"]}


def test_swapped_rows_are_found_and_the_request_is_named(findings: dict[str, Any]) -> None:
    lo, hi = findings["requests"][0]["spans"][0]
    assert findings["told"]["swaps"].startswith(f"one-photo: input embeddings differ in {hi - lo} of ")
    assert f"first at position {lo}," in findings["told"]["swaps"]


def test_one_bit_of_one_side_row_is_found(findings: dict[str, Any]) -> None:
    lo, hi = findings["requests"][0]["spans"][0]
    assert lo < photos.CHUNK < hi
    told = findings["told"]["flips"]
    assert told.startswith(
        f"one-photo: rows of side level 1 differ in 1 of {hi - lo}, first at position {photos.CHUNK - 1},"
    )


def test_crashes_and_failures_are_told_with_their_requests(findings: dict[str, Any]) -> None:
    assert "one-photo" in findings["told"]["crashes"]
    assert "ZeroDivisionError: a bug" in findings["told"]["crashes"]
    assert findings["told"]["fails"].startswith("one-photo: EncodingFailed: out of sorts")
    assert findings["told"]["refuses"].startswith("preprocessed: CapabilityMissing: not by callers")


def test_only_who_finished_has_figures(findings: dict[str, Any]) -> None:
    assert findings["ran"] == ["reference", "swaps", "flips"]


def test_requests_are_the_same_in_every_run(findings: dict[str, Any], report: dict[str, Any]) -> None:
    assert findings["requests"] == report["requests"]


def test_without_a_certificate_nothing_is_claimed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_floor(tower: LoadedTower) -> Certificate:
        return replace(certify(tower, (64, 128)), row_floor=None)

    monkeypatch.setattr(photos, "certify", no_floor)
    report = run_photos(folder, [resolve("reference"), resolve("reference")], lambda phase: None)
    assert report["identical"] is False
    assert "not certified" in report["difference"]
    assert len(report["runs"]) == 2


def test_threads_are_as_before(folder: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with pytest.raises(PhotoError):
        run_photos(tmp_path, [], lambda phase: None)
    assert torch.get_num_threads() == before


# -------------------------------------------------------------------------------------------------------------- photos


def test_gray_photos_get_three_equal_channels(folder: Path) -> None:
    gravel = read_photos(folder)[2]
    patches, grid = gravel.patches["high"]
    assert patches.dtype == torch.float32
    assert len(patches) == int(grid.prod())
    red, green, blue = patches.view(-1, 3, 2 * 16 * 16).unbind(1)
    assert torch.equal(red, green)
    assert torch.equal(red, blue)


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.new("RGB", (64, 32)).save(tmp_path / "lying.jpg", exif=exif)
    (photo,) = read_photos(tmp_path)
    assert (photo.width, photo.height) == (32, 64)
    assert photo.patches["high"][1].tolist() == [[1, 4, 2]]


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels would begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\x10IDAT"
    )


def test_folders_without_photos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(PhotoError, match="no photos"):
        run_photos(tmp_path, [], lambda phase: None)
    with pytest.raises(PhotoError, match="not a folder"):
        run_photos(tmp_path / "notes.txt", [], lambda phase: None)
    with pytest.raises(PhotoError, match="not a folder"):
        run_photos(tmp_path / "nowhere", [], lambda phase: None)


def test_folders_with_too_many_photos_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_files, "MAX_PHOTOS", 2)
    with pytest.raises(PhotoError, match="3 photos"):
        run_photos(folder, [], lambda phase: None)


def test_every_bad_file_is_named(tmp_path: Path) -> None:
    whole = (FIXTURES / "cat.png").read_bytes()
    (tmp_path / "good.png").write_bytes(whole)
    (tmp_path / "cut.PNG").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpeg").write_text("no photo")
    (tmp_path / "empty.webp").write_bytes(b"")
    (tmp_path / "gone.png").symlink_to("nowhere")
    Image.new("L", (402, 2)).save(tmp_path / "strip.png")
    with pytest.raises(PhotoError) as raised:
        run_photos(tmp_path, [], lambda phase: None)
    assert "5 of 6 photos" in str(raised.value)
    for name in ("cut.PNG", "text.jpeg", "empty.webp", "gone.png"):
        assert f"{name}: cannot be read" in str(raised.value)
    assert "strip.png: " in str(raised.value)


@pytest.mark.parametrize("side", [8001, 12_000, 60_000])
def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path: Path, side: int) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(side, side))
    with pytest.raises(PhotoError, match=r"huge.png: .*more than 64 megapixels"):
        run_photos(tmp_path, [], lambda phase: None)
