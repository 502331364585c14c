"""Photos on disk into what the Hugging Face image processor makes of them, refused early where that cannot go well."""

from __future__ import annotations

import base64
import importlib
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from plumbline.interface import PlumblineError

if TYPE_CHECKING:
    from PIL import Image

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "photos"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
MAX_PHOTOS = 100
MAX_PIXELS = 64_000_000
THUMBNAIL = 96

PATCH, MERGE = 16, 2
HALVES = (0.5, 0.5, 0.5)
DETAIL = {"high": 400, "low": 100}
"""About the most patches of a photo. Each is processed for both; as photos differ in shape, so do their grids."""


class PhotoError(PlumblineError):
    """The photos cannot be used: there are none or too many, or files cannot be read or are too large."""


@dataclass(frozen=True, eq=False)
class Photo:
    """width, height: in pixels, upright. mode: as stored. thumbnail: a data URL.

    patches: by detail, payload float32 [P, 1536] and grid int64 [1, 3] as the processor gave them.
    """

    file: str
    width: int
    height: int
    mode: str
    thumbnail: str
    patches: dict[str, tuple[Tensor, Tensor]]


def read_photos(folder: Path | None) -> list[Photo]:
    """The photos of ``folder``, by name, or the repository's own. Raises PhotoError, which names every bad file."""
    processors = {detail: processor(patches) for detail, patches in DETAIL.items()}
    photos, bad = [], []
    for path in photo_files(folder):
        try:
            photos.append(read_photo(path, processors))
        except PhotoError as error:
            bad.append(str(error))
    if bad:
        raise PhotoError("; ".join(bad), where=f"{len(bad)} of {len(bad) + len(photos)} photos")
    return photos


def photo_files(folder: Path | None) -> list[Path]:
    """Raises PhotoError: there is no such folder, or it has no photo or too many."""
    if folder is None:
        if not FIXTURES.is_dir():
            raise PhotoError("not there", where=str(FIXTURES), hint="run in a checkout, or name a folder of photos")
        manifest = json.loads((FIXTURES / "manifest.json").read_text(encoding="utf-8"))
        return [FIXTURES / entry["file"] for entry in manifest["photos"]]
    if not folder.is_dir():
        raise PhotoError("not a folder", where=str(folder))
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir())
    if not files:
        raise PhotoError("no photos", where=str(folder), hint=f"files that end in {', '.join(sorted(SUFFIXES))}")
    if len(files) > MAX_PHOTOS:
        raise PhotoError(f"{len(files)} photos", where=str(folder), hint=f"at most {MAX_PHOTOS} fit in one run")
    return files


def processor(patches: int, patch: int = PATCH, mean: Sequence[float] = HALVES, std: Sequence[float] = HALVES) -> Any:
    """Qwen's image processor, for about so many patches a photo. Raises PhotoError: it is not installed.

    patch: pixels of a patch's side. mean, std: of each colour. They are Qwen3-VL's if not given.
    """
    try:
        transformers: Any = importlib.import_module("transformers")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        return transformers.Qwen2VLImageProcessorPil(
            patch_size=patch,
            temporal_patch_size=2,
            merge_size=MERGE,
            size={"shortest_edge": (patch * MERGE) ** 2, "longest_edge": patches * patch**2},
            image_mean=list(mean),
            image_std=list(std),
        )
    except ImportError as error:
        raise PhotoError(str(error), where="photos", hint="install the dependency group 'photos'") from error


def read_photo(path: Path, processors: dict[str, Any]) -> Photo:
    """One photo, processed by each of ``processors``. Its pixels are not kept. Raises PhotoError."""
    mode, image = decode(path)
    try:
        outputs = {detail: process([image], return_tensors="pt") for detail, process in processors.items()}
    except ValueError as error:  # a strip of pixels: its sides are too unequal for any grid
        raise PhotoError(str(error), where=path.name) from error
    patches = {detail: (out["pixel_values"], out["image_grid_thw"]) for detail, out in outputs.items()}
    return Photo(path.name, image.width, image.height, mode, thumbnail(image), patches)


def decode(path: Path) -> tuple[str, Image.Image]:
    """Mode as stored, and the photo: RGB, upright. The header's size is checked first. Raises PhotoError."""
    from PIL import Image, ImageOps

    limit = f"more than {MAX_PIXELS // 1_000_000} megapixels"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                mode = image.mode
                if image.width * image.height > MAX_PIXELS:
                    raise PhotoError(f"{image.width} x {image.height} is {limit}", where=path.name)
                ImageOps.exif_transpose(image, in_place=True)
                return mode, image.convert("RGB")
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(limit, where=path.name) from error
    except Exception as error:  # decoders raise all sorts of exceptions on damaged files
        raise PhotoError(f"cannot be read: {type(error).__name__}: {error}", where=path.name) from error


def thumbnail(image: Image.Image) -> str:
    """A PNG of at most ``THUMBNAIL`` pixels a side, as a data URL."""
    small, data = image.copy(), io.BytesIO()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
