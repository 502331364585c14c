"""Patches that are written in place are bit for bit those of transformers' processors."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor

from optimized.patchify import Patching, patchify
from plumbline.interface import BadPayload
from plumbline.photo_files import decode, photo_files

CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
QWEN2, QWEN3 = (14, *CLIP), (16, *HALF)
PIL, TORCHVISION = "pil", "torchvision"

Model = tuple[int, tuple[float, ...], tuple[float, ...]]


def processor(backend: str, model: Model) -> Any:
    """The image processor of Qwen2-VL or Qwen3-VL, for up to 100 rows an image."""
    transformers = pytest.importorskip("transformers")
    if backend == TORCHVISION:
        pytest.importorskip("torchvision")
    module = importlib.import_module(f"{transformers.__name__}.models.qwen2_vl")
    kind = module.Qwen2VLImageProcessor if backend == TORCHVISION else module.Qwen2VLImageProcessorPil
    size, mean, std = model
    return kind(
        patch_size=size,
        temporal_patch_size=2,
        merge_size=2,
        size={"shortest_edge": (2 * size) ** 2, "longest_edge": 100 * (2 * size) ** 2},
        image_mean=list(mean),
        image_std=list(std),
    )


def patching(backend: str, model: Model) -> Patching:
    size, mean, std = model
    return Patching(size, 2, 2, mean, std, scale_first=backend == PIL)


def written(images: list[Tensor], how: Patching) -> tuple[Tensor, Tensor]:
    """Patches, in memory that held something else before, and grids."""
    out = torch.full(how.meta(images).shape, float("nan"))
    return out, patchify(images, out, how)


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def agrees(process: Any, given: list[Tensor], resized: list[Tensor], how: Patching) -> None:
    """given: what the processor gets, any size. resized: what it makes of them before it cuts patches."""
    theirs = process([image.numpy() for image in given], input_data_format="channels_first", return_tensors="pt")
    patches, grids = written(resized, how)
    assert torch.equal(patches.view(torch.int32), theirs["pixel_values"].view(torch.int32))
    assert torch.equal(grids, theirs["image_grid_thw"])


def on_both(test: Any) -> Any:
    """Each processor, with the configuration of each model."""
    test = pytest.mark.parametrize("backend", [PIL, TORCHVISION])(test)
    return pytest.mark.parametrize("model", [QWEN2, QWEN3], ids=["qwen2", "qwen3"])(test)


@on_both
def test_photos(backend: str, model: Model) -> None:
    process = processor(backend, model)
    photos = [pixels(path) for path in photo_files(None)]
    assert len(photos) >= 6
    resized = [resize(process, photo) for photo in photos]
    assert any(small.shape != photo.shape for small, photo in zip(resized, photos, strict=True))
    agrees(process, photos, resized, patching(backend, model))


@on_both
@pytest.mark.parametrize(("down", "across"), [(1, 1), (1, 5), (4, 1), (3, 7), (9, 10)])
def test_sizes_that_need_no_resizing(backend: str, model: Model, down: int, across: int) -> None:
    side = 2 * model[0]
    image = random_image(down * side, across * side)
    agrees(processor(backend, model), [image], [image], patching(backend, model))


@on_both
def test_every_level_of_every_channel(backend: str, model: Model) -> None:
    side = 2 * model[0]
    levels = torch.arange(256, dtype=torch.uint8).repeat(side * side).view(1, 16 * side, -1)[:, : 8 * side, : 8 * side]
    image = levels.expand(3, -1, -1).contiguous()
    assert len(torch.unique(image[0])) == 256
    agrees(processor(backend, model), [image], [image], patching(backend, model))


@on_both
def test_several_images_of_several_sizes(backend: str, model: Model) -> None:
    side = 2 * model[0]
    images = [random_image(h * side, w * side, h) for h, w in ((2, 3), (1, 1), (3, 2), (2, 3))]
    agrees(processor(backend, model), images, images, patching(backend, model))


def test_the_two_orders_of_operations_differ() -> None:
    """Else the parameter that tells them apart would not be tested."""
    image = random_image(56, 56)
    first, second = (written([image], patching(backend, QWEN2))[0] for backend in (PIL, TORCHVISION))
    assert not torch.equal(first, second)


def test_any_strides_give_the_patches_of_the_contiguous_image() -> None:
    how = patching(PIL, QWEN3)
    image = random_image(64, 96)
    for view in (
        image.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        image.flip(2).flip(2),
        image.repeat(1, 1, 2)[..., :96],
    ):
        assert torch.equal(written([view], how)[0], written([image], how)[0])


def test_no_images_give_no_patches() -> None:
    patches, grids = written([], patching(PIL, QWEN3))
    assert patches.shape == (0, 1536)
    assert grids.shape == (0, 3)


@pytest.mark.parametrize(
    "image",
    [
        random_image(32, 33),
        random_image(16, 32),
        random_image(0, 32),
        random_image(32, 32)[:1],
        random_image(32, 32)[0],
        random_image(32, 32).to(torch.float32),
    ],
    ids=["width", "height", "empty", "channels", "rank", "dtype"],
)
def test_other_images_are_refused(image: Tensor) -> None:
    good, out = random_image(32, 32), torch.zeros(8, 1536)
    with pytest.raises(BadPayload):
        patchify([good, image], out, patching(PIL, QWEN3))
    assert not out.any()


@pytest.mark.parametrize(
    "out",
    [torch.zeros(5, 1536), torch.zeros(4, 1535), torch.zeros(4, 1536).double(), torch.zeros(1536, 4).t()],
    ids=["patches", "width", "dtype", "strides"],
)
def test_other_places_are_refused(out: Tensor) -> None:
    with pytest.raises(BadPayload):
        patchify([random_image(32, 32)], out, patching(PIL, QWEN3))
    assert not out.any()


def pixels(path: Any) -> Tensor:
    """A photo as uint8 [3, H, W]."""
    numpy = importlib.import_module("numpy")
    _, image = decode(path)
    return torch.from_numpy(numpy.array(image)).permute(2, 0, 1).contiguous()


def resize(process: Any, image: Tensor) -> Tensor:
    """The processor's own resizing, by itself."""
    torchvision = type(process).__name__ == "Qwen2VLImageProcessor"
    given = image[None] if torchvision else image.numpy()
    factor = process.patch_size * process.merge_size
    size = importlib.import_module("transformers.image_utils").SizeDict(**dict(process.size))
    resized = process.resize(given, size=size, resample=process.resample, factor=factor)
    return resized[0] if torchvision else torch.from_numpy(resized)
