"""Real photos through the Hugging Face processor and a small Qwen3-VL tower: every embedding against the yardstick's.

    result = run_photos(None, [resolve("reference"), resolve("optimized")], print)
    result["identical"], result["difference"]

Processor, file formats and checkpoint loading are the real ones; only the tower's weights are made up. The requests
share, repeat and bundle photos, and are prefilled in chunks that end inside them. What comes back is JSON.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plumbline.certify import Certificate, NotCertified, certify, same_bits
from plumbline.interface import (
    Budgets,
    Capability,
    Chunk,
    Failure,
    Implementation,
    Item,
    Merged,
    Modality,
    Prepared,
    Request,
    Rows,
    Source,
    Span,
    Tower,
)
from plumbline.photo_files import MERGE, Photo, PhotoError, read_photos
from plumbline.resolve import Subject
from plumbline.rig import build_rig
from plumbline.small_tower import checkpoint, values
from reference.towers.qwen3_vl import Qwen3VLTower, load

__all__ = ["PhotoError", "run_photos"]

CHUNK = 100
CHUNKS_PER_STEP = 4
BUDGETS = Budgets(cache_bytes=16 << 20, patches_per_call=2048, item_patches=2048)
"""Calls stay within the row counts that a certificate sweeps."""

IMAGE_FIELDS = ("file", "width", "height", "mode", "thumbnail")
VOCABULARY, START, END = 1024, 1022, 1023
IMAGE, VIDEO = 1024, 1025
"""Placeholders lie beyond the vocabulary, so that a merge that looks them up in the token embedding fails."""


# ------------------------------------------------------------------------------------------------------------ requests


@dataclass(frozen=True)
class Ask:
    """A request to be made. bundles: the photos of each item. text: the same text twice gives the same tokens twice."""

    id: str
    text: str
    bundles: tuple[tuple[int, ...], ...]
    source: Source = Source.PIXELS
    detail: str = "high"

    @property
    def images(self) -> list[int]:
        """In the order of the prompt."""
        return [photo for bundle in self.bundles for photo in bundle]


def asks(photos: int) -> list[Ask]:
    """What is asked about so many photos: each of them, and the cases in which implementations go wrong."""

    def pick(*numbers: int) -> tuple[int, ...]:
        return tuple(number % photos for number in numbers)

    cases = [
        Ask("one-photo", "a", (pick(0),)),
        Ask("its-twin", "a", (pick(1),)),  # in the repository's photos: the same one, a level brighter
        Ask("same-photo-again", "b", (pick(0),)),
        Ask("two-in-a-bundle", "c", (pick(2, 3),)),
        Ask("three-in-a-bundle", "d", (pick(4, 0, 5),)),
        Ask("repeated-in-a-bundle", "e", (pick(2, 4, 2),)),
        Ask("three-items", "f", (pick(3), pick(1), pick(3))),
        Ask("preprocessed", "g", (pick(2),), Source.PREPROCESSED),
        Ask("low-detail", "h", (pick(0, 5),), detail="low"),
        Ask("text-only", "i", ()),
    ]
    more = range(6, photos, 3)
    return cases + [Ask(f"photos-from-{at}", f"{at}", (tuple(range(at, min(at + 3, photos))),)) for at in more]


def build(ask: Ask, photos: Sequence[Photo], seed: int) -> Request:
    """The request, with payloads of its own. Items are listed last first: their order means nothing."""
    draw = random.Random(f"{seed} {ask.text}")

    def words() -> list[int]:
        return [draw.randrange(START) for _ in range(draw.randint(10, 50))]

    tokens, items = words(), []
    for bundle in ask.bundles:
        spans: list[Span] = []
        payloads, grids = zip(*(photos[photo].patches[ask.detail] for photo in bundle), strict=True)
        for payload in payloads:
            lo = len(tokens) + 1
            hi = lo + len(payload) // MERGE**2
            tokens += [START, *[IMAGE] * (hi - lo), END, *words()]
            spans.append((lo, hi))
        items.append(Item(Modality.IMAGE, ask.source, torch.cat(payloads), tuple(spans), torch.cat(grids)))
    return Request(ask.id, torch.tensor(tokens, dtype=torch.int64), tuple(reversed(items)))


def describe(ask: Ask, request: Request) -> dict[str, Any]:
    """The report's entry. spans: one for each of the images, in the order of the prompt."""
    spans = sorted(span for item in request.items for span in item.spans)
    return {"id": ask.id, "tokens": len(request.token_ids), "images": ask.images, "spans": [list(s) for s in spans]}


# ----------------------------------------------------------------------------------------------------------------- run


class Stopwatch:
    """Time inside ``with`` blocks, in seconds."""

    seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


@dataclass(frozen=True, eq=False)
class Outcome:
    """embedded: by request, input embeddings [N, hidden], then side rows [M, hidden] of each level.

    figures: those of the report's "runs". steps: how many there were.
    """

    embedded: dict[str, list[Tensor]]
    figures: dict[str, float]
    steps: int


class Stopped(Exception):
    """The run of an implementation ended early: requests and reason."""


class Run:
    """One implementation, all requests, from the processor's output to the embeddings.

    Only the implementation's work is timed. The tower and the record of its calls are part of it.
    """

    def __init__(self, implementation: Implementation, tower: Tower, requests: Sequence[Request]) -> None:
        self.implementation, self.tower, self.requests = implementation, tower, requests
        self.token_table = values((VOCABULARY, tower.spec.hidden_size), "embed_tokens")
        self.watch = Stopwatch()
        self.chunks: dict[str, list[tuple[Tensor, ...]]] = {request.request_id: [] for request in requests}
        """By request, what each of its chunks gave."""
        self.calls: list[tuple[int, int]] = []
        """Patches and items of each tower call."""
        self.current = list(self.chunks)
        """The requests that the implementation is working on, to be named if it fails."""

    def go(self) -> Outcome:
        """Raises Stopped."""
        try:
            return self._go()
        except Stopped:
            raise
        except Exception as error:
            raise Stopped(f"{', '.join(self.current)}: {type(error).__name__}: {error}") from error

    def _go(self) -> Outcome:
        self.rig = build_rig(self.implementation, self.tower, self.tower.spec, BUDGETS)
        with self.watch:
            prepared = self.rig.prepare(self.requests)
        prepare_seconds = self.watch.seconds
        for request, result in zip(self.requests, prepared, strict=True):
            self.current = [request.request_id]
            self._expect(result, Prepared)
            with self.watch:
                self.rig.embed.admit(result)  # type: ignore[arg-type]
        queue = deque((request, 0) for request in self.requests)
        steps = 0
        while queue:
            turn = [queue.popleft() for _ in range(min(CHUNKS_PER_STEP, len(queue)))]
            self._step(turn)
            queue += [(request, lo + CHUNK) for request, lo in turn if lo + CHUNK < len(request.token_ids)]
            steps += 1
        figures = {
            "seconds": self.watch.seconds,
            "prepare_seconds": prepare_seconds,
            "tower_calls": len(self.calls),
            "items_encoded": sum(items for _, items in self.calls),
            "patches": sum(patches for patches, _ in self.calls),
            "largest_call": max((patches for patches, _ in self.calls), default=0),
            "bytes_moved": self.rig.port.moved_bytes,
        }
        whole = {name: [torch.cat(level) for level in zip(*parts, strict=True)] for name, parts in self.chunks.items()}
        return Outcome(whole, figures, steps)

    def _step(self, turn: Sequence[tuple[Request, int]]) -> None:
        names = self.current = [request.request_id for request, _ in turn]
        ids = [request.token_ids[lo : lo + CHUNK] for request, lo in turn]
        chunks = [Chunk(name, lo, lo + len(part)) for name, (_, lo), part in zip(names, turn, ids, strict=True)]
        with self.watch:
            step = self.rig.embed.step(chunks)
        rows: list[Any] = list(step.results)
        for name, result in zip(names, rows, strict=True):
            self.current = [name]
            self._expect(result, Rows)
        self.current = names
        with self.watch:
            merged = self.rig.merge(rows, torch.cat(ids), self.token_table.__getitem__)
            failures = step.settle()
        for failure in failures:
            self._expect(failure, Rows)
        self._collect(names, ids, merged)
        for request, lo in turn:
            if lo + CHUNK >= len(request.token_ids):
                self.current = [request.request_id]
                with self.watch:
                    self.rig.embed.finish(request.request_id)
        # The record holds each call's payload; all of them together would be the largest thing in memory.
        self.calls += [(call.patches, len(call.items)) for call in self.rig.tower.calls]
        self.rig.tower.calls.clear()

    def _collect(self, names: Sequence[str], ids: Sequence[Tensor], merged: Merged) -> None:
        """Copies, since rows may be overwritten in the next step."""
        if not torch.equal(merged.mask, torch.cat(list(ids)) == IMAGE):
            raise ValueError("the mask of merge is not that of the placeholders")
        if len(merged.side) != self.tower.spec.side_levels:
            raise ValueError(f"merge gave {len(merged.side)} side levels")
        tokens = [len(part) for part in ids]
        images = [int((part == IMAGE).sum()) for part in ids]
        levels = [torch.split(merged.embeds.clone(), tokens)]
        levels += [torch.split(level.clone(), images) for level in merged.side]
        for name, *parts in zip(names, *levels, strict=True):
            self.chunks[name].append(tuple(parts))

    @staticmethod
    def _expect(result: object, kind: type) -> None:
        if isinstance(result, Failure):
            raise Stopped(f"{result.request_id}: {type(result.error).__name__}: {result.error}")
        if not isinstance(result, kind):
            raise TypeError(f"got {type(result).__name__} instead of {kind.__name__}")


def difference(yardstick: Outcome, other: Outcome, requests: Sequence[dict[str, Any]]) -> str | None:
    """The first request whose embeddings have other bits, where, and by how much. None: all bits are the same."""
    for request in requests:
        name = request["id"]
        places = [place for lo, hi in request["spans"] for place in range(lo, hi)]
        for level, (want, got) in enumerate(zip(yardstick.embedded[name], other.embedded[name], strict=True)):
            kind = f"{name}: rows of side level {level - 1}" if level else f"{name}: input embeddings"
            if (want.shape, want.dtype) != (got.shape, got.dtype):
                return f"{kind} are {got.dtype} {tuple(got.shape)}, not {want.dtype} {tuple(want.shape)}"
            if rows := [row for row in range(len(want)) if not same_bits(want[row], got[row])]:
                most = (want.double() - got.double()).abs().max().item()
                at = places[rows[0]] if level else rows[0]
                return f"{kind} differ in {len(rows)} of {len(want)}, first at position {at}, by up to {most:.3g}"
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Calls are too small to gain by more threads, and on a busy machine those that wait for a core cost a lot."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def uncertified(certificate: Certificate, tower: Qwen3VLTower) -> str | None:
    """Why the tower may give other bits in another call, so that a comparison would say nothing. None: it does not."""
    try:
        certificate.check(tower)
    except NotCertified as error:
        return f"not compared: the tower is not certified to give the same bits in any call here ({error})"
    return None


@one_thread()
def run_photos(
    folder: Path | None, subjects: Sequence[Subject], progress: Callable[[str], None], seed: int = 0
) -> dict[str, Any]:
    """Runs all subjects, at least one, over the same requests and compares them, bit for bit, with the first.

    folder: photos to use; None: those of the repository. progress: told each phase. seed: of the text around the
    photos. Returns the report's "photos" object. Each subject runs twice, in the order ABBA, and the faster run gives
    its figures; it has none if it failed. What failed or differs, or a tower that cannot be certified here, is told
    in "difference", a line for each. Raises PhotoError.
    """
    progress("photos: reading and processing")
    photos = read_photos(folder)
    with tempfile.TemporaryDirectory() as scratch:
        all_take_side_rows = all(Capability.SIDE_ROWS in s.implementation.capabilities for s in subjects)
        sizes: dict[str, object] = {} if all_take_side_rows else {"deepstack_visual_indexes": []}
        tower = load(
            checkpoint(scratch, "", **sizes), image_token_id=IMAGE, video_token_id=VIDEO, vocab_size=VOCABULARY
        )
    progress("photos: certifying the tower's row floor on this machine")
    certificate = certify(tower)

    plan = asks(len(photos))
    described = [describe(ask, build(ask, photos, seed)) for ask in plan]
    names = [subject.implementation.name for subject in subjects]
    outcomes: list[list[Outcome]] = [[] for _ in subjects]
    troubles = []
    for number, index in enumerate([*range(len(subjects)), *reversed(range(len(subjects)))]):
        progress(f"photos: {len(plan)} requests through {names[index]}, run {number // len(subjects) + 1} of 2")
        try:
            # Requests of its own, so that what it does to them harms no other.
            requests = (build(ask, photos, seed) for ask in plan)
            outcomes[index].append(Run(subjects[index].implementation, tower, list(requests)).go())
        except Stopped as stopped:
            troubles.append(f"{names[index]}: {stopped}")
    if doubt := uncertified(certificate, tower):
        troubles.append(doubt)
    elif outcomes[0]:
        for name, runs in zip(names, outcomes, strict=True):
            found = [difference(outcomes[0][0], run, described) for run in runs]
            troubles += [f"{name}: {told}" for told in found if told]
    else:
        troubles.append(f"not compared: {names[0]} gave nothing to compare with")

    return {
        "images": [{name: getattr(photo, name) for name in IMAGE_FIELDS} for photo in photos],
        "requests": described,
        "tower": {
            "name": tower.spec.name,
            "parameters": sum(weight.numel() for weight in tower.weights.values()),
            "hidden": tower.config.hidden_size,
            "layers": tower.config.depth,
            "side_levels": tower.spec.side_levels,
            "row_floor": tower.row_floor,
        },
        "chunk": CHUNK,
        "steps": max((run.steps for runs in outcomes for run in runs), default=0),
        "rows": sum(hi - lo for request in described for lo, hi in request["spans"]),
        "runs": [
            {"implementation": name, **min((run.figures for run in runs), key=lambda figures: figures["seconds"])}
            for name, runs in zip(names, outcomes, strict=True)
            if runs
        ],
        "identical": not troubles,
        "difference": "\n".join(dict.fromkeys(" ".join(line.split()) for line in troubles)) or None,
    }
