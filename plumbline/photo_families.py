"""Photos, and a video cut from one of them, as patches for the towers of every family.

    name, shots = photograph("kimi_k25", None)        # None: the repository's photos
    shots[0].name, shots[0].patches, shots[0].grid

Patches come from the family's own Hugging Face image processor where it runs. Kimi-K2.5's needs torchvision; where that
is missing ``raster_patches`` stands in. The video processors need it too, so frames are processed as photos.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plumbline.interface import Modality
from plumbline.photo_files import MERGE, PATCH, PhotoError, decode, photo_files, processor

if TYPE_CHECKING:
    from PIL import Image

PHOTOS, FRAMES = 3, 3
PATCHES = 100
"""About the most patches of a photo or a frame: to find the bound, a tower runs over all of them ten times in float64."""

KIMI_PATCH, QWEN2_5_PATCH = 14, 14
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Qwen2.5-VL's colours."""

Grid: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Shot:
    """A photo or a video. patches: float32 [P, *patch_shape], as the family's towers read them."""

    name: str
    modality: Modality
    patches: Tensor
    grid: Grid


@dataclass(frozen=True)
class Processing:
    """name: of the processor. photo: an image to patches and grid [1, 3]. film: the patches of frames to those of their
    video, and its number of frames in the grid."""

    name: str
    photo: Callable[[Image.Image], tuple[Tensor, Tensor]]
    film: Callable[[Sequence[Tensor]], tuple[Tensor, int]]


def photograph(family: str, folder: Path | None) -> tuple[str, list[Shot]]:
    """The name of the family's processor, the first photos of ``folder`` (None: the repository's), and a video.

    Raises PhotoError: photos cannot be used, or transformers is not installed.
    """
    processing = FAMILIES[family]()
    files = photo_files(folder)[:PHOTOS]
    images = [decode(path)[1] for path in files]
    try:
        shots = [
            Shot(path.name, Modality.IMAGE, patches, (1, height, width))
            for path, (patches, ((_, height, width),)) in zip(files, _each(processing, images), strict=True)
        ]
        frames, grids = zip(*_each(processing, cut(images[0])), strict=True)
    except ValueError as error:  # a strip of pixels: its sides are too unequal for any grid
        raise PhotoError(str(error), where="photos") from error
    patches, times = processing.film(frames)
    _, height, width = grids[0][0]
    name = f"{FRAMES} frames of {files[0].name}"
    return processing.name, [*shots, Shot(name, Modality.VIDEO, patches, (times, height, width))]


def _each(processing: Processing, images: Sequence[Image.Image]) -> list[tuple[Tensor, list[Grid]]]:
    return [(patches, grid.tolist()) for patches, grid in map(processing.photo, images)]


def cut(image: Image.Image) -> list[Image.Image]:
    """Frames of one size, each three quarters of a side, along the diagonal: as if the camera moved."""
    width, height = math.ceil(image.width * 3 / 4), math.ceil(image.height * 3 / 4)
    places = [k / (FRAMES - 1) for k in range(FRAMES)]
    corners = [(int(place * (image.width - width)), int(place * (image.height - height))) for place in places]
    return [image.crop((left, top, left + width, top + height)) for left, top in corners]


def qwen(**options: Any) -> Processing:
    """options: those of ``photo_files.processor``."""
    process = processor(PATCHES, **options)

    def photo(image: Image.Image) -> tuple[Tensor, Tensor]:
        out = process([image], return_tensors="pt")
        return out["pixel_values"], out["image_grid_thw"]

    return Processing(type(process).__name__, photo, film_in_pairs)


def film_in_pairs(frames: Sequence[Tensor]) -> tuple[Tensor, int]:
    """Qwen's: a patch reaches through two frames, [3, 2, side, side], and a photo is a frame and its copy. A last one
    without a partner stays such a photo."""
    apart = [frame.view(len(frame), 3, 2, -1)[:, :, :1] for frame in frames]
    apart += apart[-1:] * (len(apart) % 2)
    pairs = [torch.cat(pair, 2).flatten(1) for pair in zip(apart[::2], apart[1::2], strict=True)]
    return torch.cat(pairs), len(pairs)


def kimi() -> Processing:
    process = kimi_processor()
    if not process:
        return Processing("raster_patches", lambda image: raster_patches(shrunk(image)), film_in_a_row)

    def photo(image: Image.Image) -> tuple[Tensor, Tensor]:
        out = process([shrunk(image)], return_tensors="pt")
        return out["pixel_values"], out["image_grid_thw"]

    return Processing(type(process).__name__, photo, film_in_a_row)


def kimi_processor() -> Any:
    """Kimi-K2.5's image processor. None: torchvision is not installed."""
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return None
    found = importlib.import_module("transformers.models.kimi_k25.image_processing_kimi_k25")
    return found.Kimi_K25ImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3)


def shrunk(image: Image.Image) -> Image.Image:
    """At most ``PATCHES`` patches in area, so that no processor scales it in a way of its own."""
    scale = min(1.0, math.sqrt(PATCHES * KIMI_PATCH**2 / (image.width * image.height)))
    return image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))


def raster_patches(image: Image.Image) -> tuple[Tensor, Tensor]:
    """What Kimi-K2.5's processor makes of an image that it need not scale: float32 [P, 3, 14, 14], row by row, and [1, 3].

    Black is added on the right and below to whole rows of output; colours go from [0, 255] to [-1, 1].
    """
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    whole = KIMI_PATCH * MERGE
    padded = F.pad(pixels, (0, -image.width % whole, 0, -image.height % whole))
    colours = (padded - 127.5) / 127.5
    patches = colours.unfold(1, KIMI_PATCH, KIMI_PATCH).unfold(2, KIMI_PATCH, KIMI_PATCH)
    rows, columns = patches.shape[1:3]
    return patches.permute(1, 2, 0, 3, 4).flatten(0, 1), torch.tensor([[1, rows, columns]])


def film_in_a_row(frames: Sequence[Tensor]) -> tuple[Tensor, int]:
    """Kimi's: frame after frame."""
    return torch.cat(list(frames)), len(frames)


FAMILIES: dict[str, Callable[[], Processing]] = {
    "qwen3_vl": lambda: qwen(patch=PATCH),
    "qwen2_5_vl": lambda: qwen(patch=QWEN2_5_PATCH, mean=CLIP_MEAN, std=CLIP_STD),
    "kimi_k25": kimi,
}
"""By ``model_type``; those of ``plumbline.small_tower.FAMILIES``."""
