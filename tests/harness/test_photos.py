"""The photos in ``fixtures/photos`` are those that the manifest lists, freely licensed, small, without metadata."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageSequence

PHOTOS = Path(__file__).resolve().parents[2] / "fixtures" / "photos"
MANIFEST: dict[str, Any] = json.loads((PHOTOS / "manifest.json").read_text(encoding="utf-8"))
ENTRIES: list[dict[str, Any]] = MANIFEST["photos"]

ALLOWED_LICENCES = {"CC0-1.0", "Public-Domain"}
MAX_BYTES = 150_000
LONGEST_SIDE = range(320, 901)
ORIGIN = ("author", "collection", "package_path", "package_sha256")
# What Pillow reports of the container itself; EXIF, ICC profiles, text and comments would come under other names.
CONTAINER_INFO = {"jfif", "jfif_version", "jfif_unit", "jfif_density"}

each_photo = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])


def test_folder_and_manifest_list_the_same_files() -> None:
    listed = [entry["file"] for entry in ENTRIES]
    assert len(listed) == len(set(listed))
    found = {path.relative_to(PHOTOS).as_posix() for path in PHOTOS.rglob("*") if not path.is_dir()}
    assert found == {*listed, "manifest.json", "README.md"}


@each_photo
def test_file_matches_its_entry(entry: dict[str, Any]) -> None:
    data = (PHOTOS / entry["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert len(data) <= MAX_BYTES
    with Image.open(PHOTOS / entry["file"]) as image:
        image.load()  # decodes everything, so that a truncated file fails here
        assert (image.width, image.height, image.mode) == (entry["width"], entry["height"], entry["mode"])
        assert max(image.size) in LONGEST_SIDE
        assert len(list(ImageSequence.Iterator(image))) == 1


@each_photo
def test_file_carries_no_metadata(entry: dict[str, Any]) -> None:
    with Image.open(PHOTOS / entry["file"]) as image:
        image.load()
        assert set(image.info) <= CONTAINER_INFO
        assert not image.getexif()


@each_photo
def test_licence_and_origin_are_stated(entry: dict[str, Any]) -> None:
    assert entry["licence"] in ALLOWED_LICENCES
    stated = (entry["title"], entry["licence_basis"], entry["derived"], *(entry["origin"][k] for k in ORIGIN))
    assert all(isinstance(value, str) and value.strip() for value in stated)


def test_shapes_and_modes_cover_the_cases() -> None:
    assert {"RGB", "L", "RGBA"} <= {entry["mode"] for entry in ENTRIES}
    orientations = {(e["width"] > e["height"]) - (e["width"] < e["height"]) for e in ENTRIES}
    assert orientations == {-1, 0, 1}


def test_near_identical_pair_differs_by_one_level_everywhere() -> None:
    with Image.open(PHOTOS / "cat.png") as darker, Image.open(PHOTOS / "cat_one_level_up.png") as brighter:
        assert darker.size == brighter.size
        assert ImageChops.subtract(brighter, darker).getextrema() == ((1, 1),) * 3


def test_transparent_photo_has_opaque_and_transparent_pixels() -> None:
    with Image.open(PHOTOS / "retina.png") as image:
        assert image.getchannel("A").getextrema() == (0, 255)
