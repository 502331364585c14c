"""Photos and a video as the patches of every family: each pixel where a tower looks for it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

pytest.importorskip("transformers")

from plumbline.interface import Checkpoint, Modality
from plumbline.photo_families import FAMILIES, FRAMES, PATCHES, cut, photograph, raster_patches, shrunk
from plumbline.photo_files import PhotoError, decode, photo_files
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES as TOWERS
from plumbline.small_tower import checkpoint
from reference.towers import load

SIDES = st.integers(1, 90)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_every_family_with_a_small_tower_is_photographed() -> None:
    assert FAMILIES.keys() == TOWERS.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_are_those_of_the_family_s_layouts(family: str, tmp_path: Path) -> None:
    spec = load(Checkpoint(checkpoint(tmp_path, family=family), torch.float32, 61, 62, 64), HostPort()).spec
    shots = photograph(family, None)[1]
    assert [shot.modality for shot in shots] == [*[Modality.IMAGE] * (len(shots) - 1), Modality.VIDEO]
    for shot in shots:
        layout = spec.layouts[shot.modality]
        assert shot.patches.shape == (math.prod(shot.grid), *layout.patch_shape)
        assert shot.patches.dtype == torch.float32
        assert shot.grid[1] % layout.merge == shot.grid[2] % layout.merge == 0
        assert math.prod(shot.grid[1:]) <= 2 * PATCHES
    assert shots[-1].grid[0] > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_video_shows_its_frames_one_after_the_other(family: str) -> None:
    """A photo in place of a frame is the same patches twice in Qwen's pairs, once in Kimi's row."""
    processing = FAMILIES[family]()
    frames = [processing.photo(frame)[0] for frame in cut(decode(photo_files(None)[0])[1])]
    assert not torch.equal(frames[0], frames[1])
    still, times = processing.film([frames[0]] * FRAMES)
    assert torch.equal(still, torch.cat([frames[0]] * times))
    film, times = processing.film(frames)
    assert torch.equal(film, photograph(family, None)[1][-1].patches)
    assert torch.equal(film[-len(frames[0]) :], frames[-1])
    if family == "kimi_k25":
        assert torch.equal(film, torch.cat(frames))
        return
    first, second = film[: len(frames[0])].view(len(frames[0]), 3, 2, -1).unbind(2)
    assert torch.equal(first, frames[0].view(len(frames[0]), 3, 2, -1)[:, :, 0])
    assert torch.equal(second, frames[1].view(len(frames[1]), 3, 2, -1)[:, :, 1])


@given(width=SIDES, height=SIDES)
def test_raster_patches_hold_the_pixels_row_by_row(width: int, height: int) -> None:
    image = noise(width, height)
    patches, ((_, rows, columns),) = raster_patches(image)[0], raster_patches(image)[1].tolist()
    assert rows % 2 == columns % 2 == 0
    assert 0 <= rows * 14 - height < 28
    assert 0 <= columns * 14 - width < 28
    whole = torch.zeros(3, rows * 14, columns * 14)
    whole[:, :height, :width] = pixels(image)
    for place, patch in enumerate(patches):
        top, left = 14 * (place // columns), 14 * (place % columns)
        shown = (patch + 1) * 127.5
        assert torch.allclose(shown, whole[:, top : top + 14, left : left + 14], rtol=0, atol=1e-4)


@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
def test_images_are_shrunk_but_never_enlarged(width: int, height: int) -> None:
    small = shrunk(Image.new("RGB", (width, height)))
    assert small.width * small.height <= PATCHES * 14**2 or 1 in small.size
    assert small.width <= width
    assert small.height <= height


@given(width=SIDES, height=SIDES)
def test_frames_have_one_size_and_reach_from_corner_to_corner(width: int, height: int) -> None:
    image = noise(width, height)
    frames = cut(image)
    assert len(frames) == FRAMES
    assert len({frame.size for frame in frames}) == 1
    across, down = frames[0].size
    assert torch.equal(pixels(frames[0]), pixels(image)[:, :down, :across])
    assert torch.equal(pixels(frames[-1]), pixels(image)[:, height - down :, width - across :])


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_a_strip_of_pixels_is_refused(family: str, tmp_path: Path) -> None:
    Image.new("L", (402, 2)).save(tmp_path / "strip.png")
    with pytest.raises(PhotoError, match="photos: "):
        photograph(family, tmp_path)
