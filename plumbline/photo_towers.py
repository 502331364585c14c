"""Real photos and a video through every implementation's own towers, and how far they are from the plain ones and transformers.

    for found in run_towers(None, [resolve("reference"), resolve("optimized")], print):
        found["implementation"], found["family"], found["wrong"]

Rows come from the implementation's own encoder around its own tower, a small one with made-up weights. Those of each photo
must have the same bits alone and among all (NUM-001), and be as near to others' as ``plumbline.oracle`` derives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import reference.towers
from plumbline.certify import ROW_COUNTS, Certificate, certify, join, same_bits, segments
from plumbline.interface import (
    BadCheckpoint,
    Checkpoint,
    DevicePort,
    Encoder,
    Implementation,
    Item,
    LoadedTower,
    Packed,
    PackedItem,
    PlumblineError,
    Source,
)
from plumbline.judge_tower import levels_of
from plumbline.oracle import Oracle, distances, terms_of_float32
from plumbline.photo_families import FAMILIES, Shot, photograph
from plumbline.photo_run import BUDGETS, IMAGE, VIDEO, VOCABULARY
from plumbline.photos import PhotoError, one_thread
from plumbline.resolve import SpecError, Subject
from plumbline.rig import HostPort, build_rig
from plumbline.small_tower import checkpoint

PLAIN = "plain float32"
REQUIREMENTS = {"transformers float32": "NUM-002", "transformers float64": "NUM-003"}
"""What a plain tower is held to, by yardstick; any other tower is held to NUM-006."""

ROWS = tuple(count for count in ROW_COUNTS if count <= 1024)
"""What a certificate sweeps: no call here has more patches."""


@dataclass(frozen=True)
class Yardstick:
    """Another evaluation of all shots. levels: its outputs. sigmas: of both evaluations, as ``distances`` takes them."""

    name: str
    levels: Sequence[Tensor]
    sigmas: tuple[Sequence[Tensor], Sequence[Tensor]]


class Scene:
    """A family's shots, its small checkpoint in ``folder``, and what others make of them. Raises PhotoError."""

    def __init__(self, family: str, photos: Path | None, folder: Path) -> None:
        self.family = family
        self.folder = checkpoint(folder, family=family)
        self.processor, self.shots = photograph(family, photos)
        self.plain = self.tower(reference.towers.load)
        self.calls = [self.packed(shot) for shot in self.shots]

    def tower(self, load: Callable[[Checkpoint, DevicePort], LoadedTower]) -> LoadedTower:
        return load(Checkpoint(self.folder, torch.float32, IMAGE, VIDEO, VOCABULARY), HostPort())

    def packed(self, shot: Shot) -> Packed:
        """The shot in a call of its own."""
        ends = accumulate(segments(self.plain.spec.layouts[shot.modality], shot.grid), initial=0)
        item = PackedItem(shot.modality, shot.grid, (len(shot.patches),), {})
        return Packed(shot.patches, torch.tensor(list(ends)), (item,))

    def item(self, shot: Shot) -> Item:
        """The shot as an encoder gets it."""
        layout = self.plain.spec.layouts[shot.modality]
        times, height, width = shot.grid
        rows = height * width // layout.merge**2 * (1 if layout.pools_frames else times)
        return Item(shot.modality, Source.PIXELS, shot.patches, ((0, rows),), torch.tensor([shot.grid]))

    def yardsticks(self) -> list[Yardstick]:
        """The plain tower, and transformers in float32 and in float64."""
        call = join(self.calls)
        try:
            oracle = Oracle(self.folder, self.family)
        except (SpecError, BadCheckpoint) as error:
            raise PhotoError(str(error), where="photos", hint="install the dependency group 'photos'") from error
        own, rest = oracle.sigmas(call, terms_of_float32), oracle.sigmas(call, oracle.terms_of_itself)
        return [
            Yardstick(PLAIN, levels_of(self.plain(call)), (own, own)),
            Yardstick("transformers float32", oracle.run(oracle.single, call), (own, own)),
            Yardstick("transformers float64", oracle.run(oracle.exact, call), (own, rest)),
        ]


@one_thread()
def run_towers(
    folder: Path | None, subjects: Sequence[Subject], progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """An entry of the report's "photos", "towers" for each family and each subject that brings a tower.

    folder: of photos; None: the repository's. progress: told each phase. Raises PhotoError.
    """
    found = []
    judged = [subject.implementation for subject in subjects if subject.implementation.tower]
    for family in FAMILIES if judged else ():
        progress(f"photos: the bound for towers of {family}, from transformers in float64")
        with tempfile.TemporaryDirectory() as scratch:
            scene = Scene(family, folder, Path(scratch))
            yardsticks = scene.yardsticks()
            for implementation in judged:
                progress(f"photos: through the tower of {family} of {implementation.name}")
                found.append(Trial(implementation, scene).judge(yardsticks))
    return found


class Trial:
    """One implementation's tower for a scene. wrong: a line for each requirement that it breaks, or for what it raised."""

    def __init__(self, implementation: Implementation, scene: Scene) -> None:
        self.implementation, self.scene = implementation, scene
        self.plain = implementation.tower is reference.towers.load
        self.row_floor: int | None = None
        self.identical: bool | None = None
        """None: without a certificate nothing is claimed."""
        self.distances: list[dict[str, Any]] = []
        self.wrong: list[str] = []

    def judge(self, yardsticks: Sequence[Yardstick]) -> dict[str, Any]:
        """The report's entry. Whatever the implementation raises is told in it."""
        try:
            self._judge(yardsticks)
        except Exception as error:
            self.wrong.append(" ".join(f"{type(error).__name__}: {error}".split()))
        return {
            "family": self.scene.family,
            "implementation": self.implementation.name,
            "processor": self.scene.processor,
            "shots": [shot.name for shot in self.scene.shots],
            "patches": sum(len(shot.patches) for shot in self.scene.shots),
            "row_floor": self.row_floor,
            "identical": self.identical,
            "distances": self.distances,
            "wrong": self.wrong,
        }

    def _judge(self, yardsticks: Sequence[Yardstick]) -> None:
        assert self.implementation.tower
        tower = self.scene.tower(self.implementation.tower)
        certificate = certify(tower, ROWS, self.scene.calls)
        self.row_floor = certificate.row_floor
        encoder = build_rig(self.implementation, tower, tower.spec, BUDGETS).encoder
        together = self.encode(encoder, self.scene.shots)
        if self.row_floor is not None:
            alone = [self.encode(encoder, [shot])[0] for shot in self.scene.shots]
            self.company(certificate, alone, together)
        levels = [torch.cat(parts) for parts in zip(*together, strict=True)]
        for yardstick in yardsticks:
            if not (self.plain and yardstick.name == PLAIN):
                self.distance(levels, yardstick)

    def encode(self, encoder: Encoder, shots: Sequence[Shot]) -> list[tuple[Tensor, ...]]:
        """All levels of each shot. Raises what the encoder returned."""
        rows = []
        for result in encoder.encode([self.scene.item(shot) for shot in shots]):
            if isinstance(result, PlumblineError):
                raise result
            rows.append(tuple(level.clone() for level in levels_of(result)))
        return rows

    def company(
        self, certificate: Certificate, alone: Sequence[tuple[Tensor, ...]], together: Sequence[tuple[Tensor, ...]]
    ) -> None:
        """The certificate tells of the tower, the rows of the encoder around it, which may never make a call of several."""
        changed = [
            shot.name
            for shot, before, after in zip(self.scene.shots, alone, together, strict=True)
            if not all(same_bits(a, b) for a, b in zip(before, after, strict=True))
        ]
        self.identical = not changed and not certificate.broken
        if certificate.broken:
            self.wrong.append(f"NUM-001: the tower gives other bits in company: {', '.join(certificate.broken)}")
        if changed:
            self.wrong.append(f"NUM-001: the encoder gives other bits in company: {', '.join(changed)}")

    def distance(self, levels: Sequence[Tensor], yardstick: Yardstick) -> None:
        requirement = REQUIREMENTS[yardstick.name] if self.plain else "NUM-006"
        shapes, wanted = ([tuple(level.shape) for level in of] for of in (levels, yardstick.levels))
        if shapes != wanted:
            self.wrong.append(f"{requirement}: outputs {shapes}, not {wanted}")
        elif not all(level.isfinite().all() for level in levels):
            self.wrong.append(f"{requirement}: some rows are no numbers")
        else:
            worst = max(distances(levels, yardstick.levels, *yardstick.sigmas), key=lambda found: found.share)
            self.distances.append({"to": yardstick.name, "requirement": requirement, **asdict(worst)})
            if worst.share > 1:
                self.wrong.append(f"{requirement}: beyond the bound, to {yardstick.name}: {worst}")
