"""Kimi-K2.5's real image processor, which needs torchvision: that what stands in for it elsewhere gives its bits.

No GPU is used; the machines that have one have torchvision.
"""

from __future__ import annotations

import pytest
import torch
from PIL import Image

pytest.importorskip("torchvision")
pytest.importorskip("transformers.models.kimi_k25", reason="this transformers has no Kimi-K2.5")

from plumbline.photo_families import FAMILIES, kimi_processor, raster_patches, shrunk
from plumbline.photo_files import decode, photo_files

SIZES = [(1, 1), (14, 14), (28, 28), (29, 27), (150, 100), (13, 141)]
"""Width and height: smaller and larger than a patch and a row of output, multiples of both and not."""


def agree(image: Image.Image) -> None:
    real = kimi_processor()([image], return_tensors="pt")
    patches, grid = raster_patches(image)
    assert grid.tolist() == real["image_grid_thw"].tolist()
    assert patches.dtype == real["pixel_values"].dtype
    assert torch.equal(patches, real["pixel_values"])


@pytest.mark.parametrize("path", photo_files(None), ids=lambda path: path.name)
def test_photos_have_the_same_bits(path: object) -> None:
    agree(shrunk(decode(path)[1]))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_have_the_same_bits(size: tuple[int, int]) -> None:
    """All values of a colour occur in the larger ones."""
    agree(Image.linear_gradient("L").resize(size).convert("RGB"))


def test_the_real_one_is_used_where_it_runs() -> None:
    assert FAMILIES["kimi_k25"]().name == "Kimi_K25ImageProcessor"
