"""A toy engine with the calls of ``plumbline.capture`` in it. Its cache outlives a change of weights.

python -m docs.examples.capture_engine [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass

from plumbline.capture import Capture, ItemMeta
from plumbline.capture_replay import main


@dataclass(frozen=True)
class Image:
    """offsets: inclusive, as SGLang has them."""

    hash: int
    pad_value: int
    offsets: list[tuple[int, int]]
    grid: tuple[int, int, int]


@dataclass
class Request:
    rid: str
    input_ids: list[int]
    images: list[Image]


# region engine
class Engine:
    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.rows: dict[int, list[str]] = {}
        self.weights = 0
        capture.engine("toy", cache_rows=1000, patches_per_call=1000, hidden=4096, patch_shape=(1176,), merge=2)

    def add(self, request: Request) -> None:
        items = [
            ItemMeta("image", i.hash, [(lo, hi + 1) for lo, hi in i.offsets], i.grid, pad=i.pad_value)
            for i in request.images
        ]
        self.capture.request(request.rid, len(request.input_ids), items)

    def prefill(self, request: Request, lo: int, hi: int) -> list[str]:
        self.capture.step([(request.rid, lo, hi)])
        rows = []
        for image in request.images:
            start = image.offsets[0][0]
            here = [k - start for a, b in image.offsets for k in range(max(a, lo), min(b + 1, hi))]
            rows += [self.encoded(image)[k] for k in here]
        self.capture.results([(request.rid, len(rows))])
        return rows

    def encoded(self, image: Image) -> list[str]:
        if image.hash in self.rows:
            self.capture.cache("hit", image.hash, len(self.rows[image.hash]))
            return self.rows[image.hash]
        frames, height, width = image.grid
        rows = [f"row {k} by weights {self.weights}" for k in range(frames * height * width // 4)]
        self.capture.encoded([(image.hash, len(rows))])
        self.rows[image.hash] = rows
        self.capture.cache("put", image.hash, len(rows))
        return rows

    def update_weights(self) -> None:
        self.weights += 1  # and the rows stay
        self.capture.epoch(self.weights)

    def remove(self, request: Request) -> None:
        self.capture.finish(request.rid)


# endregion


def serve(folder: str) -> None:
    with Capture(folder, salt=b"of this run") as capture:
        engine = Engine(capture)
        cat = Image(0x5EED, 1_000_003, [(2, 7)], (1, 4, 6))
        for rid in ("before", "after"):
            request = Request(rid, [11, 12, *[1_000_003] * 6, 13], [cat])
            engine.add(request)
            engine.prefill(request, 0, 5)
            engine.prefill(request, 5, 9)
            engine.remove(request)
            engine.update_weights()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            serve(folder)
            main([folder, "--impl", "optimized"])
