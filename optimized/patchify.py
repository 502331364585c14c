"""From resized images to the patches that Qwen2-VL's and Qwen3-VL's towers read, written straight to where they will lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plumbline.interface import BadPayload, TensorMeta

LEVELS = 255


@dataclass(frozen=True)
class Patching:
    """What a processor's configuration says. mean, std: one for each channel, of pixels in [0, 1].

    scale_first: the order of operations. False: (x - 255 mean) / (255 std), as transformers' torchvision processor
    computes it. True: (x / 255 - mean) / std, as its PIL processor does. They differ in the last bits.
    """

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale_first: bool

    @property
    def width(self) -> int:
        """Elements of a patch: channel, then frame, then row, then column."""
        return len(self.mean) * self.temporal_patch_size * self.patch_size**2

    def grid(self, image: Tensor) -> tuple[int, int, int]:
        """Frames, and patches down and across. Raises BadPayload as ``patchify`` does."""
        side = self.patch_size * self.merge_size
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != len(self.mean):
            raise BadPayload(f"{image.dtype} {tuple(image.shape)}, where uint8 [{len(self.mean)}, H, W] is read")
        _, height, width = image.shape
        if not height or not width or height % side or width % side:
            raise BadPayload(f"an image of {height} x {width}, where multiples of {side} are read", hint="resize first")
        return 1, height // self.patch_size, width // self.patch_size

    def meta(self, images: Sequence[Tensor]) -> TensorMeta:
        """The patches of ``images`` as one tensor, to be reserved before they are made."""
        patches = sum(height * width for _, height, width in map(self.grid, images))
        return TensorMeta((patches, self.width), torch.float32, patches * self.width * 4, torch.device("cpu"))


def patchify(images: Sequence[Tensor], out: Tensor, patching: Patching) -> Tensor:
    """Patches of all images, one after the other, and their grids: the payload and ``grid_thw`` of a bundle.

    images: CPU uint8 [C, H, W] each, resized already: H and W are multiples of patch_size * merge_size. Any strides.
    out: CPU float32 [P, width], contiguous, with P and width as in ``patching.meta(images)``; all of it is written. The
        merge_size * merge_size patches of a row of the tower are neighbours, and frames repeat the image.
    Returns int64 [n, 3]. Raises BadPayload for any other images or ``out``, before anything is written.

    The values are bit for bit those of transformers' processor in the order that ``patching`` names.
    """
    grids = [patching.grid(image) for image in images]
    sizes = [height * width for _, height, width in grids]
    shape = (sum(sizes), patching.width)
    if out.shape != shape or out.dtype != torch.float32 or not out.is_contiguous():
        raise BadPayload(f"patches into {out.dtype} {tuple(out.shape)}, where contiguous float32 {shape} is written")
    for image, grid, patches in zip(images, grids, torch.split(out, sizes), strict=True):
        write(image, grid, patches, patching)
    return torch.tensor(grids, dtype=torch.int64).view(-1, 3)


def write(image: Tensor, grid: tuple[int, int, int], out: Tensor, patching: Patching) -> None:
    """One row of merged patches at a time, which stays in the processor's cache from the first operation to the last."""
    size, merge, frames = patching.patch_size, patching.merge_size, patching.temporal_patch_size
    channels = len(patching.mean)
    down, across = grid[1] // merge, grid[2] // merge
    mean = torch.tensor(patching.mean, dtype=torch.float32).view(-1, 1, 1)
    std = torch.tensor(patching.std, dtype=torch.float32).view(-1, 1, 1)
    if not patching.scale_first:
        mean, std = mean * LEVELS, std * LEVELS
    bands = out.view(down, across, merge, merge, channels, frames, size, size)
    for source, band in zip(torch.split(image, merge * size, dim=1), bands, strict=True):
        values = source.to(torch.float32)
        if patching.scale_first:
            values.div_(LEVELS)
        values.sub_(mean).div_(std)
        ordered = values.view(channels, merge, size, across, merge, size).permute(3, 1, 4, 0, 2, 5)
        band.copy_(ordered.unsqueeze(4).expand(-1, -1, -1, -1, frames, -1, -1))
