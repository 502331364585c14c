"""Real photos through the Hugging Face processor and a small Qwen3-VL tower: every embedding against the yardstick's.

    result = run_photos(None, [resolve("reference"), resolve("optimized")], print)
    result["identical"], result["difference"]

Processor, file formats and checkpoint loading are the real ones; only the tower's weights are made up. The requests
share, repeat and bundle photos, and are prefilled in chunks that end inside them. What comes back is JSON.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from plumbline.certify import Certificate, NotCertified, certify
from plumbline.interface import Capability, Item, Modality, Request, Source, Span
from plumbline.photo_files import MERGE, Photo, PhotoError, read_photos
from plumbline.photo_run import CHUNK, IMAGE, VOCABULARY, Outcome, Run, Stopped, difference, open_tower
from plumbline.photos_processes import applies, run_in_processes
from plumbline.resolve import Subject
from plumbline.small_tower import checkpoint
from reference.towers.qwen3_vl import Qwen3VLTower

__all__ = ["PhotoError", "run_photos"]

IMAGE_FIELDS = ("file", "width", "height", "mode", "thumbnail")
START, END = VOCABULARY - 2, VOCABULARY - 1
"""The tokens around an image."""


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
    folder: Path | None,
    subjects: Sequence[Subject],
    progress: Callable[[str], None],
    seed: int = 0,
    processes: bool = False,
) -> dict[str, Any]:
    """Runs all subjects, at least one, over the same requests and compares them, bit for bit, with the first.

    folder: photos to use; None: those of the repository. progress: told each phase. seed: of the text around the
    photos. processes: then send the requests of each subject that has a transport through a worker and two ranks,
    where every process finds the subject again by its spec. Returns the report's "photos" object. Each subject runs
    twice, in the order ABBA, and the faster run gives its figures; it has none if it failed. What failed or differs,
    or a tower that cannot be certified here, is told in "difference", a line for each. Raises PhotoError.
    """
    progress("photos: reading and processing")
    photos = read_photos(folder)
    plan = asks(len(photos))
    with tempfile.TemporaryDirectory() as scratch:
        all_take_side_rows = all(Capability.SIDE_ROWS in s.implementation.capabilities for s in subjects)
        sizes: dict[str, Any] = {} if all_take_side_rows else {"deepstack_visual_indexes": []}
        tower = open_tower(checkpoint(scratch, "", **sizes))
        progress("photos: certifying the tower's row floor on this machine")
        certificate = certify(tower)

        def requests() -> list[Request]:
            """New ones for each run, so that what it does to them harms no other."""
            return [build(ask, photos, seed) for ask in plan]

        described = [describe(ask, request) for ask, request in zip(plan, requests(), strict=True)]
        names = [subject.implementation.name for subject in subjects]
        outcomes: list[list[Outcome]] = [[] for _ in subjects]
        in_processes: list[dict[str, Any]] = []
        troubles = []
        for number, index in enumerate([*range(len(subjects)), *reversed(range(len(subjects)))]):
            progress(f"photos: {len(plan)} requests through {names[index]}, run {number // len(subjects) + 1} of 2")
            try:
                outcomes[index].append(Run(subjects[index].implementation, tower).go(requests()))
            except Stopped as stopped:
                troubles.append(f"{names[index]}: {stopped}")
        if doubt := uncertified(certificate, tower):
            troubles.append(doubt)
        elif outcomes[0]:
            for name, runs in zip(names, outcomes, strict=True):
                found = [difference(outcomes[0][0], run, described) for run in runs]
                troubles += [f"{name}: {told}" for told in found if told]
            for subject, runs in zip(subjects, outcomes, strict=True):
                if processes and runs and applies(subject):
                    expected = runs[0].checksums()
                    told, wrong = run_in_processes(subject, requests(), Path(scratch), certificate, expected, progress)
                    in_processes += [told] if told else []
                    troubles += [f"{subject.implementation.name} in processes: {line}" for line in wrong]
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
        "processes": in_processes,
        "identical": not troubles,
        "difference": "\n".join(dict.fromkeys(" ".join(line.split()) for line in troubles)) or None,
    }
