"""Judges a tower by stories: each picture has the rows that a fresh tower gives for it alone, bit for bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.bench import Verdicts
from plumbline.certify import certify, same_bits
from plumbline.interface import BadCheckpoint, Capability, Checkpoint, DevicePort, Encoded, Implementation, LoadedTower
from plumbline.small_tower import FAMILIES, checkpoint
from plumbline.tower_calls import Call, Picture, Story, Update, alone, packed

EPOCHS = 4
"""Weights that stories change between."""

LITTER = (1 << 6, 1 << 10, 1 << 14)
"""Numbers in the tensors of NaN that are made and dropped after each call: what unwritten memory is likely to hold then."""


def folders_of(root: Path, **options: Any) -> list[Path]:
    """Small checkpoints of one configuration, with other weights in each, under other names. options: those of ``checkpoint``.

    In the first one vectors are constant, so that many are equal, as in a model that nobody has trained. In the second all
    weights are others, in the next one half of them, and in the last one a single number of each, as where a trainer changes
    few."""
    found: list[Path] = []
    weights: dict[str, Tensor] = {}
    inside = FAMILIES[options.get("family", "qwen3_vl")].prefix
    for epoch in range(EPOCHS):
        # A trainer may save the tower alone, and another version of a library gives its weights another name in the model.
        prefix = ("", inside, inside.removeprefix("model."))[epoch % 3]
        folder = checkpoint(root / str(epoch), prefix, **options)
        path = folder / "model.safetensors"
        for name, value in load_file(path).items():
            key = name.removeprefix(prefix)
            number = crc32(key.encode())
            if epoch == 0:
                weights[key] = torch.full_like(value, float(value.mean().round()) + 0.05) if value.dim() == 1 else value
            elif epoch == EPOCHS - 1:
                weights[key].view(-1)[number % value.numel()] += 0.5
            elif epoch == 1 or number % 2:
                weights[key] = value.roll(epoch, 0)
        save_file({prefix + key: value for key, value in weights.items()}, path, metadata={"format": "pt"})
        found.append(folder)
    return found


def tower_of(
    implementation: Implementation, folder: Path, port: DevicePort, dtype: torch.dtype = torch.float32
) -> LoadedTower:
    assert implementation.tower
    return implementation.tower(Checkpoint(folder, dtype, 61, 62, 64), port)


def families_of(implementation: Implementation, root: Path, port: DevicePort) -> list[str]:
    """The families that its tower loads, by small checkpoints that are made in ``root``. At least one."""
    found = []
    for family in FAMILIES:
        folder = checkpoint(root / family, family=family)
        with suppress(BadCheckpoint):
            tower_of(implementation, folder, port)
            found.append(family)
    assert found, f"the tower loads none of {', '.join(FAMILIES)}"
    return found


def row_floor_of(implementation: Implementation, folder: Path, port: DevicePort) -> int | None:
    """What makes a tower batch invariant on a port's device. None: it gets no certificate there, so nothing is claimed."""
    certificate = certify(tower_of(implementation, folder, port), row_counts=(*range(1, 40), 64, 200))
    return certificate.row_floor if certificate.invariant else None


@dataclass(frozen=True)
class Served:
    """A call of a story. levels: what it returned. seen: their copies, queued directly after the call."""

    number: int
    call: Call
    epoch: int
    levels: tuple[Tensor, ...]
    seen: tuple[Tensor, ...]


class TowerJudge:
    """Of one implementation on one device. port: made anew for every story. row_floor: of every tower; None where there is
    none that gives the same bits in any company, and then rows may be others by what rounding can do.

    alone_on: where single pictures are encoded; another device only if it has the same kernels.
    """

    def __init__(
        self,
        implementation: Implementation,
        folders: Sequence[Path],
        port: Callable[[], DevicePort],
        row_floor: int | None,
        alone_on: Callable[[], DevicePort],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.implementation, self.folders, self.dtype = implementation, folders, dtype
        self.certified, self.row_floor = row_floor is not None, row_floor or 1
        self.port, self.alone_on = port, alone_on
        self._alone: dict[tuple[Picture, int], tuple[Tensor, ...]] = {}

    def load(self, epoch: int, port: DevicePort) -> LoadedTower:
        """A fresh tower with the weights of ``epoch``, all of them arrived."""
        tower = tower_of(self.implementation, self.folders[epoch], port, self.dtype)
        tower.row_floor = self.row_floor
        torch.get_device_module(port.device).synchronize()
        return tower

    def alone(self, picture: Picture, epoch: int) -> tuple[Tensor, ...]:
        """What a fresh tower gives for the picture, on the CPU."""
        if (picture, epoch) not in self._alone:
            port = self.alone_on()
            levels = levels_of(encode(self.load(epoch, port), picture, port))
            self._alone[picture, epoch] = tuple(level.cpu() for level in levels)
        return self._alone[picture, epoch]

    def judge(self, story: Story) -> Verdicts:
        """GRAPH-006, and the story's own requirement; NUM-001 for a tower without graphs, NUM-003 for one that may round
        otherwise in company.

        Nobody waits for the device between the calls.
        """
        claims = self.implementation.capabilities
        graphs = Capability.GRAPHS in claims or not story.requirement.startswith("GRAPH")
        requirement = story.requirement if graphs else "NUM-001"
        if not self.certified and not requirement.startswith("EPOCH"):
            requirement = "NUM-003"
        verdicts = Verdicts()
        try:
            told = list(self.tell(story))
        except Exception as error:  # whatever a tower may raise
            verdicts.check(requirement, False, f"{story.name}: raised {type(error).__name__}: {error}")
            return verdicts
        for served in told:
            where = f"{story.name}: call {served.number}"
            held = all(same_bits(a.cpu(), b.cpu()) for a, b in zip(served.levels, served.seen, strict=True))
            verdicts.check("GRAPH-006", held, f"{where} gave rows that changed with a later call")
            wrong = list(self.wrong_of(served))
            verdicts.check(requirement, not wrong, f"{where}: {'; '.join(wrong[:3])}")
        return verdicts

    def tell(self, story: Story) -> Iterator[Served]:
        """The story, on a tower of its own, whose floor is set when it has served a call, if any may be the first one."""
        port, epoch = self.port(), 0
        updated = any(isinstance(step, Update) for step in story.steps)
        tower, beside = self.load(epoch, port), self.load(epoch, port) if updated else None
        module = torch.get_device_module(port.device)
        streams = (module.current_stream(), module.Stream())
        calls = [step for step in story.steps if isinstance(step, Call)]
        if not any(call.inference for call in calls):
            tower.row_floor = 1
            encode(tower, calls[0], port)
            tower.row_floor = self.row_floor
        for number, step in enumerate(story.steps):
            if isinstance(step, Update):
                epoch = step.epoch
                tower.update(self.folders[epoch], epoch)
                continue
            with module.stream(streams[step.second_stream]), torch.inference_mode(step.inference):
                levels = levels_of(encode(tower, step, port))
                seen = tuple(level.clone() for level in levels)
                for numbers in LITTER:
                    torch.full((numbers,), math.nan, device=port.device)
            yield Served(number, step, epoch, levels, seen)
        if beside is not None:  # another tower of the same folder, which was told of no update
            levels = levels_of(encode(beside, calls[0], port))
            yield Served(len(story.steps), calls[0], 0, levels, tuple(level.clone() for level in levels))
        module.synchronize()

    def wrong_of(self, served: Served) -> Iterator[str]:
        at = 0
        for picture in served.call.pictures:
            wanted = self.alone(picture, served.epoch)
            end = at + len(wanted[0])
            for level, (mine, theirs) in enumerate(zip(wanted, served.seen, strict=True)):
                rows = theirs[at:end].cpu()
                if not (same_bits(mine, rows) if self.certified else close(mine, rows)):
                    how = "are no numbers" if rows.isnan().any() else "are not those of the picture alone"
                    yield f"rows {at} to {end} of level {level} {how} ({picture})"
            at = end


def close(mine: Tensor, theirs: Tensor) -> bool:
    """Hundreds of times as far apart as orders of sums in float32 take the rows of small towers."""
    return mine.shape == theirs.shape and bool((mine - theirs).abs().max() <= 1e-4 * mine.abs().max())


def encode(tower: LoadedTower, what: Picture | Call, port: DevicePort) -> Encoded:
    """Keeps nothing of what the tower was given: it holds itself what it still reads."""
    call = packed(tower.spec, what) if isinstance(what, Call) else alone(tower.spec, what)
    return tower(dataclasses.replace(call, patches=port.move(call.patches)))


def levels_of(encoded: Encoded) -> tuple[Tensor, ...]:
    return (encoded.rows, *encoded.side)
