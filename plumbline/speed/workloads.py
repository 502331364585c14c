"""Work that looks like serving: what the benchmarks give to every implementation.

Payloads are random bits, made from a fixed seed. Sizes are chosen so that one run takes milliseconds on a laptop; what grows
with them (rows, patches, prompts) is in the proportions of real traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plumbline.interface import (
    Encoded,
    Identity,
    Item,
    Layout,
    Modality,
    Packed,
    PlumblineError,
    Request,
    Source,
    TowerSpec,
)

VOCABULARY, IMAGE, VIDEO = 1000, 1001, 1002
PATCH, HIDDEN, MERGE = 192, 512, 2
"""Numbers of float32 in a patch: 8 pixels square, 3 colours. Numbers of bfloat16 in a row."""
CHUNK = 512
"""Tokens of a request in a step."""

LAYOUTS = {
    Modality.IMAGE: Layout(IMAGE, (PATCH,), True, MERGE),
    Modality.VIDEO: Layout(VIDEO, (PATCH,), True, MERGE),
}
SPEC = TowerSpec("serving", HIDDEN, 1, VOCABULARY, torch.bfloat16, frozenset({torch.float32}), LAYOUTS)
Grid = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Workload:
    """requests: as they come from a processor, on the host. warm: the cache has everything from the run before."""

    name: str
    requests: tuple[Request, ...]
    warm: bool = False

    @property
    def items(self) -> list[Item]:
        return [item for request in self.requests for item in request.items]

    @property
    def payload_bytes(self) -> int:
        return sum(item.payload.nbytes for item in self.items if isinstance(item.payload, Tensor))


class FreeTower:
    """Costs nothing: rows lie ready, as many as can be asked for, so that what is timed is what drives a tower."""

    epoch = 0

    def __init__(self, device: torch.device, most: int) -> None:
        """most: rows of one call."""
        self.spec = SPEC
        draw = torch.Generator().manual_seed(1)
        self.rows = torch.randn(most, HIDDEN, generator=draw).to(SPEC.dtype).to(device)

    def __call__(self, packed: Packed) -> Encoded:
        rows = self.rows[: len(packed.patches) // MERGE**2]
        return Encoded(rows, (rows,))


def _payload(grid: Grid, number: int) -> Tensor:
    frames, height, width = grid
    return torch.randn(frames * height * width, PATCH, generator=torch.Generator().manual_seed(number))


def _request(name: str, modality: Modality, grids: Sequence[tuple[Grid, int]], text: int) -> Request:
    """Text before each item; a frame of a video is a span of its own. grids: each with the number of its content."""
    ids = [1] * text
    items = []
    for grid, number in grids:
        frames, rows = grid[0], grid[1] * grid[2] // MERGE**2
        spans = []
        for _ in range(frames):
            spans.append((len(ids), len(ids) + rows))
            ids += [LAYOUTS[modality].placeholder_id] * rows + [2] * 3
        items.append(Item(modality, Source.PIXELS, _payload(grid, number), tuple(spans), torch.tensor([grid])))
        ids += [3] * 8
    return Request(name, torch.tensor(ids), tuple(items))


def _chat() -> Workload:
    """32 users, each with a question about one small picture."""
    grids = [(1, 16, 16), (1, 18, 24), (1, 24, 24), (1, 16, 28)]
    return Workload(
        "chat", tuple(_request(f"c{k}", Modality.IMAGE, [(grids[k % 4], k)], 40 + k % 7) for k in range(32))
    )


def _documents() -> Workload:
    """Two documents of 16 pages."""
    pages = [[((1, 32, 32), 100 * d + p) for p in range(16)] for d in range(2)]
    return Workload("documents", tuple(_request(f"d{d}", Modality.IMAGE, pages[d], 200) for d in range(2)))


def _video() -> Workload:
    """Two videos of 16 frames, each frame a span."""
    return Workload("video", tuple(_request(f"v{v}", Modality.VIDEO, [((16, 16, 24), v)], 60) for v in range(2)))


def _repeated() -> Workload:
    """64 requests with 4 of 8 pictures that everybody sends, all of them cached."""
    pictures = [((1, 16, 16), k) for k in range(8)]
    chosen = [[pictures[(k + j) % 8] for j in range(4)] for k in range(64)]
    return Workload("repeated", tuple(_request(f"r{k}", Modality.IMAGE, chosen[k], 60) for k in range(64)), warm=True)


def _text() -> Workload:
    """64 requests without a picture: what the path costs those that do not use it."""
    return Workload("text", tuple(_request(f"t{k}", Modality.IMAGE, [], 600) for k in range(64)))


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "chat": _chat,
    "documents": _documents,
    "video": _video,
    "repeated": _repeated,
    "text": _text,
}


@dataclass(frozen=True)
class Known:
    """An identify that knows the answer, so that what is timed with it does not hash. By the address of the payload."""

    by_payload: dict[int, Identity]

    @staticmethod
    def of(items: Sequence[Item]) -> Known:
        """Equal payloads have equal identities."""
        numbers: dict[bytes, Identity] = {}
        found = {}
        for item in items:
            assert isinstance(item.payload, Tensor)
            content = item.payload[:2].cpu().numpy().tobytes()
            identity = numbers.setdefault(content, Identity(len(numbers).to_bytes(32, "big")))
            found[item.payload.data_ptr()] = identity
        return Known(found)

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        return [self.by_payload[item.payload.data_ptr()] for item in items if isinstance(item.payload, Tensor)]


def table(device: torch.device) -> Callable[[Tensor], Tensor]:
    """The language model's embeddings, which brings ids to ``device`` itself."""
    draw = torch.Generator().manual_seed(2)
    weight = torch.randn(VOCABULARY, HIDDEN, generator=draw).to(SPEC.dtype).to(device)
    return lambda ids: torch.nn.functional.embedding(ids.to(device), weight)
