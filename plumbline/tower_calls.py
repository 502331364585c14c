"""Stories: sequences of calls of one tower, each drawn to be hard on what a tower keeps from one call to the next.

A tower that captures graphs keeps their inputs, outputs, workspaces and numbers, and a call can meet those of another one.
Every story is about one requirement; which rows are right is the same in all of them: those of each picture alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

import torch

from plumbline.certify import join
from plumbline.interface import Modality, Packed, PackedItem, TowerSpec
from plumbline.small_tower import values

SIZES = 10
"""Calls of so many sizes in one story."""


@dataclass(frozen=True)
class Picture:
    """frames; height and width of a frame, in rows of output. content: a number that its patches follow from.

    Several frames are a video; one frame is, too, where it is a clip. Sizes are counted as if each frame had rows of its own,
    whether the tower pools them or not.
    """

    frames: int
    height: int
    width: int
    content: int
    clip: bool = False

    @property
    def modality(self) -> Modality:
        return Modality.VIDEO if self.clip or self.frames > 1 else Modality.IMAGE


@dataclass(frozen=True)
class Call:
    """Pictures in one call, on the default stream of the device or on a second one. inference: in torch's inference mode."""

    pictures: tuple[Picture, ...]
    second_stream: bool = False
    inference: bool = False


@dataclass(frozen=True)
class Update:
    """Other weights. epoch: their number, which counts from 0."""

    epoch: int


Step: TypeAlias = Call | Update


@dataclass(frozen=True)
class Story:
    requirement: str
    name: str
    steps: tuple[Step, ...]

    @property
    def two_streams(self) -> bool:
        return any(isinstance(step, Call) and step.second_stream for step in self.steps)


def stories(seed: int, videos: bool, inference: bool = True) -> Iterator[Story]:
    """One of each kind. videos: some pictures have several frames. inference: the device knows torch's inference mode."""
    draw = Draw(random.Random(seed), videos)
    yield Story("GRAPH-001", "equal totals, other partitions", draw.partitions())
    yield Story("GRAPH-002", "a large call, and smaller ones in its place", draw.shrinking())
    yield Story("GRAPH-003", "small, large, small", draw.canaries())
    yield Story("GRAPH-003", "small and large at the same time", draw.streams())
    yield Story("GRAPH-004", "many sizes, and the first again", draw.sizes())
    yield Story("GRAPH-005", "the same call many times, and others of its size, images and videos", draw.again())
    yield Story("NUM-001", "long strips beside larger pictures", draw.strips())
    for first in (True, False) if inference else ():
        said = "the first" if first else "later"
        yield Story("NUM-001", f"{said} calls in inference mode, of sizes that share a bucket", draw.modes(first))
    if videos:
        yield Story("NUM-001", "pictures and clips of one height and width, in any order", draw.frames())
    yield Story("EPOCH-003", "other weights between calls", draw.updates())


@dataclass
class Draw:
    random: random.Random
    videos: bool

    def picture(self, rows: int) -> Picture:
        """A picture of so many rows."""
        cuts = [
            (frames, height, rows // (frames * height))
            for frames in range(1, (4 if self.videos else 1) + 1)
            for height in range(1, 5)
            if rows % (frames * height) == 0
        ]
        clip = self.videos and self.random.randrange(4) == 0
        return Picture(*self.random.choice(cuts), content=self.random.randrange(4), clip=clip)

    def call(self, rows: int) -> Call:
        """Pictures of so many rows in all."""
        pictures = []
        while rows:
            pictures.append(self.picture(self.random.randint(1, rows)))
            rows -= pictures[-1].frames * pictures[-1].height * pictures[-1].width
        return Call(tuple(pictures))

    def partitions(self) -> tuple[Step, ...]:
        rows = self.random.randint(6, 16)
        whole = Call((self.picture(rows),))
        return (*(self.call(rows) for _ in range(6)), whole, self.call(rows))

    def shrinking(self) -> tuple[Step, ...]:
        rows = self.random.randint(8, 24)
        fewer = sorted(self.random.sample(range(1, rows), 6), reverse=True)
        return (self.call(rows), *(self.call(count) for count in fewer), self.call(rows))

    def canaries(self) -> tuple[Step, ...]:
        small = self.call(self.random.randint(1, 5))
        large = [self.call(count) for count in sorted(self.random.sample(range(16, 80), 3))]
        return (small, large[0], small, large[1], small, large[2], large[0], small)

    def streams(self) -> tuple[Step, ...]:
        small, large = self.random.randint(1, 5), self.random.randint(16, 80)
        calls = [self.call(rows) for rows in (small, small, large, large, large, small)]
        return tuple(replace(call, second_stream=k % 2 == 1) for k, call in enumerate(calls * 2))

    def sizes(self) -> tuple[Step, ...]:
        calls = [Call((self.picture(count),)) for count in self.random.sample(range(1, 4 * SIZES), SIZES)]
        return (*calls, *calls[:3], *self.random.sample(calls, 5))

    def again(self) -> tuple[Step, ...]:
        rows = 4 * self.random.randint(1, 4)
        content = self.random.randrange(4)
        image, twin = (Call((Picture(1, 2, rows // 2, seen),)) for seen in (content, (content + 1) % 4))
        other = Call((Picture(2 if self.videos else 1, 1, rows // 2, self.random.randrange(4)),) * 2)
        mixed = Call((self.picture(rows // 2), self.picture(rows // 2)))
        return (image,) * 3 + (twin, other, image, mixed) * 2

    def modes(self, first: bool) -> tuple[Step, ...]:
        """Two calls in inference mode, as a warm-up may be, two outside of it, and so on; or the other way round."""
        calls = [self.call(count) for count in self.random.sample(range(17, 24), 4)]
        return tuple(replace(call, inference=(k // 2 % 2 == 0) is first) for k, call in enumerate(calls * 2))

    def strips(self) -> tuple[Step, ...]:
        """Sides that the larger picture of their call does not have, shorter and longer than what is usually kept ready."""
        lengths = sorted(self.random.sample((20, 36, 50, 70), 2))
        strips = [Picture(1, *self.random.choice([(1, length), (length, 1)]), content=length % 4) for length in lengths]
        side = math.isqrt(lengths[-1]) + 1
        large = Picture(1, side, side, content=self.random.randrange(4))
        return *(Call((large, strip)) for strip in strips), Call((strips[1], large)), *(Call((s,)) for s in strips)

    def frames(self) -> tuple[Step, ...]:
        height, width = self.random.randint(1, 4), self.random.randint(1, 6)
        kinds = [(1, False), (1, True), (2, False), (3, False), (4, False)]
        found = [Picture(n, height, width, content, clip) for content in range(2) for n, clip in kinds]
        return tuple(Call((picture,)) for picture in self.random.sample(found, len(found)))

    def updates(self) -> tuple[Step, ...]:
        calls = [self.call(self.random.randint(1, 24)) for _ in range(3)]
        return (*calls, Update(1), *calls, Update(2), calls[0], Update(3), *calls, Update(1), calls[0])


def alone(spec: TowerSpec, picture: Picture) -> Packed:
    """The picture in a call of its own, on the CPU."""
    layout = spec.layouts[picture.modality]
    height, width = picture.height * layout.merge, picture.width * layout.merge
    patches = picture.frames * height * width
    dtype = spec.dtype if spec.dtype in spec.payload_dtypes else min(spec.payload_dtypes, key=str)
    segments = [patches] if layout.pools_frames else [height * width] * picture.frames
    return Packed(
        patches=values((patches, *layout.patch_shape), f"picture {picture}").to(dtype),
        cu_seqlens=torch.tensor([0, *accumulate(segments)]),
        items=(PackedItem(picture.modality, (picture.frames, height, width), (patches,), {}),),
    )


def packed(spec: TowerSpec, call: Call) -> Packed:
    """On the CPU."""
    return join([alone(spec, picture) for picture in call.pictures])
