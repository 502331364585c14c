"""Requests for the benchmarks of device transport, the same on every device."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from itertools import accumulate, pairwise

import torch

from benchmarks.transport import PATCH, SIDES
from plumbline.interface import Identity, Item, Modality, Prepared, Source

Image = tuple[int, int, int]
"""Rows and columns of patches, and elements of float32 in each patch."""
Images = tuple[Image, ...]
Load = tuple[Images, ...]
"""The images of each request, in turn."""

LEAST, MOST = 64 << 10, 112 << 20
"""Bytes of a payload among mixed ones."""
STRIP = 4 * 4 * PATCH
"""Bytes of four patches, two by two: what becomes one token."""
DISTINCT = 61
"""Requests until they begin again; a prime, so that every reader gets each of them."""
WINDOW = 64
"""Elements. Payloads begin at multiples of it."""


def one_image(size: float, distinct: int = 1) -> Load:
    """size: MiB, of those in ``SIDES``. distinct: how many requests of that size."""
    return (((*SIDES[size], PATCH),),) * distinct


def evenly_mixed(seed: int) -> Load:
    """Sizes from 64 KiB to 112 MiB, each as likely as any other: 56 MiB on average."""
    draw = random.Random(seed)
    return tuple((strip(draw.uniform(LEAST, MOST)),) for _ in range(DISTINCT))


def mostly_small(seed: int) -> Load:
    """Sizes from 64 KiB to 112 MiB, each doubling as likely as any other: 15 MiB on average, the median 2.6."""
    draw = random.Random(seed)
    return tuple((strip(math.exp(draw.uniform(math.log(LEAST), math.log(MOST)))),) for _ in range(DISTINCT))


def strip(nbytes: float) -> Image:
    """An image of about so many bytes, two rows high."""
    return 2, 2 * round(nbytes / STRIP), PATCH


def small(images: int, seed: int) -> Load:
    """Requests of so many images, each of 16 to 96 KiB: one token, of patches of any size."""
    draw = random.Random(seed)
    return tuple(
        tuple((2, 2, WINDOW * draw.randint(1024 // WINDOW, 6144 // WINDOW)) for _ in range(images))
        for _ in range(max(DISTINCT // images, 7))
    )


def elements(image: Image) -> int:
    return math.prod(image)


def bytes_of(images: Images) -> int:
    return 4 * sum(map(elements, images))


@lru_cache(maxsize=4)
def requests_of(load: Load, seed: int, device: torch.device) -> tuple[Prepared, ...]:
    """The payloads, float32 [patches, elements of a patch], are windows of one tensor, whose numbers ``seed`` changes."""
    draw = random.Random(seed)
    room = max(elements(image) for images in load for image in images)
    numbers = ((torch.arange(2 * room, device=device) * 40503 + seed) % 65521).float()

    def item(image: Image, lo: int, hi: int) -> Item:
        rows, columns, patch = image
        start = WINDOW * draw.randint(0, room // WINDOW)
        payload = numbers[start : start + elements(image)].view(rows * columns, patch)
        return Item(Modality.IMAGE, Source.PIXELS, payload, ((lo, hi),), torch.tensor([[1, rows, columns]]))

    def request(number: int, images: Images) -> Prepared:
        spans = list(pairwise(accumulate((rows * columns // 4 for rows, columns, _ in images), initial=4)))
        ids = torch.arange(spans[-1][1] + 4)
        items = tuple(item(image, lo, hi) for image, (lo, hi) in zip(images, spans, strict=True))
        identities = tuple(Identity(b"%8d%8d%16d" % (k, number, seed)) for k in range(len(images)))
        return Prepared(f"request {number}", ids, items, identities, ids.clone())

    return tuple(request(number, images) for number, images in enumerate(load))
