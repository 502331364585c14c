"""optimized's own, until a reader saw it: what goes together is packed largest first, whatever it is.

Carried over: images and videos of one dtype and patch shape are packed into the same calls.

Shows: with a budget of 100 patches, a video of 50 and images of 40, 40 and 20 make two calls of mixed items. The images,
which fit into one call, are in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import optimized
from optimized.encode import PackingEncoder, meta_of, parts_of
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-002",)


class Encoder(PackingEncoder):
    def groups(self, items: Sequence[Item], indexes: Iterable[int]) -> Iterator[list[int]]:
        groups: dict[object, list[int]] = {}
        for index in indexes:
            meta = meta_of(parts_of(items[index])[0])
            groups.setdefault((meta.dtype, tuple(meta.shape[1:])), []).append(index)
        yield from groups.values()


implementation = dataclasses.replace(
    optimized.implementation, name="mutant room_of_the_other_modality", encoder=Encoder
)
