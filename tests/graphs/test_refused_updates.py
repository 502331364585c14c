"""Updates that a tower refuses: it goes on with the weights and the epoch that it had."""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.certify import same_bits
from plumbline.interface import BadCheckpoint, LoadedTower
from plumbline.judge_tower import encode, folders_of, levels_of, tower_of
from plumbline.parts import loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES
from plumbline.tower_calls import Call, Picture

pytestmark = pytest.mark.usefixtures("single_thread")

PICTURES = Call((Picture(1, 2, 3, 1), Picture(1, 4, 1, 2)))


def rewritten(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def without_the_last_weight(folder: Path) -> None:
    rewritten(folder, lambda weights: weights.pop(max(weights)))


def with_a_longer_bias(folder: Path) -> None:
    name = "bias"
    rewritten(folder, lambda w: w.update({k: torch.ones(len(v) + 1) for k, v in w.items() if k == last(w, name)}))


def last(weights: dict[str, Tensor], end: str) -> str:
    return max(name for name in weights if name.endswith(end))


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def with_other_heads(folder: Path) -> None:
    """All weights have the shapes that they had."""
    path = folder / "config.json"
    whole = json.loads(path.read_text())
    vision = whole.get("vision_config", whole)
    name = next(name for name in ("num_heads", "num_attention_heads") if name in vision)
    vision[name] = 1
    path.write_text(json.dumps(whole))


def in_a_format_that_torch_lacks(folder: Path) -> None:
    """One weight, of six bits a number: the file is a good one, and its shapes are those that they were."""
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    names = sorted((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    struck = next(name for name in names if name.endswith("weight") and math.prod(header[name]["shape"]) % 4 == 0)
    packed = b""
    for name in names:
        lo, hi = header[name]["data_offsets"]
        own = data[lo:hi]
        if name == struck:
            header[name]["dtype"], own = "F6_E2M3", bytes(math.prod(header[name]["shape"]) * 6 // 8)
        header[name]["data_offsets"] = [len(packed), len(packed) + len(own)]
        packed += own
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + packed)


DAMAGES = [without_the_last_weight, with_a_longer_bias, cut_off, with_other_heads, in_a_format_that_torch_lacks]


def loaded(subject: Subject, family: str, root: Path) -> tuple[LoadedTower, list[Path]]:
    """The subject's tower with the weights of the first of some folders."""
    loads(subject, family, root / "each")
    folders = folders_of(root / "one", family=family)
    return tower_of(subject.implementation, folders[0], HostPort()), folders


@pytest.mark.requirement("EPOCH-003", "EPOCH-004")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tower_that_refuses_an_update_is_as_it_was(
    subject: Subject, family: str, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    tower, folders = loaded(subject, family, tmp_path)
    port = HostPort()
    tower.update(folders[1], 1)
    before = [level.clone() for level in levels_of(encode(tower, PICTURES, port))]
    shutil.copytree(folders[2], good := tmp_path / "good")
    damage(folders[2])
    for _ in range(2):  # whoever has noted that it read these files would take the second one for done
        with pytest.raises(BadCheckpoint):
            tower.update(folders[2], 2)
        assert tower.epoch == 1
        after = levels_of(encode(tower, PICTURES, port))
        assert all(same_bits(a, b) for a, b in zip(before, after, strict=True))
    shutil.rmtree(folders[2])
    shutil.copytree(good, folders[2])
    tower.update(folders[2], 2)
    assert tower.epoch == 2
    assert_of(tower, subject, good, port)


def assert_of(tower: LoadedTower, subject: Subject, folder: Path, port: HostPort) -> None:
    """It has the rows of a tower that was loaded from there."""
    fresh = levels_of(encode(tower_of(subject.implementation, folder, port), PICTURES, port))
    assert all(same_bits(a, b) for a, b in zip(fresh, levels_of(encode(tower, PICTURES, port)), strict=True))


@pytest.mark.requirement("EPOCH-003")
@pytest.mark.parametrize("in_place", [False, True], ids=["new files", "written over"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_update_from_the_same_folder_reads_it_again(
    subject: Subject, family: str, in_place: bool, tmp_path: Path
) -> None:
    """As a trainer leaves it that writes each step's weights to one path: the same names and sizes. Nothing changes before."""
    tower, folders = loaded(subject, family, tmp_path)
    port = HostPort()
    for epoch in (1, 2, 3):
        before = [level.clone() for level in levels_of(encode(tower, PICTURES, port))]
        file = folders[0] / "model.safetensors"
        if not in_place:
            file.unlink()
        file.write_bytes((folders[epoch] / file.name).read_bytes())
        now = levels_of(encode(tower, PICTURES, port))
        assert all(same_bits(a, b) for a, b in zip(before, now, strict=True)), "without an update"
        tower.update(folders[0], epoch)
        assert tower.epoch == epoch
        assert_of(tower, subject, folders[epoch], port)


@pytest.mark.requirement("NUM-006", "EPOCH-003")
@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_other_weights_lie_beside_the_right_one(subject: Subject, family: str, tmp_path: Path) -> None:
    """An index names the right one; or all weights are in the one file that needs no index, and the index is an old one. As
    transformers reads such folders, when they are loaded and when they are updated from."""
    tower, folders = loaded(subject, family, tmp_path)
    port = HostPort()
    for epoch, right, stale, named in (
        (1, "model-1.safetensors", "a.safetensors", "model-1.safetensors"),
        (2, "model-1.safetensors", "z.safetensors", "model-1.safetensors"),
        (3, "model.safetensors", "model-1.safetensors", "model-1.safetensors"),
    ):
        folder = shutil.copytree(folders[epoch], tmp_path / f"mixed {epoch}")
        (folder / "model.safetensors").rename(folder / right)
        weights = load_file(folder / right)
        save_file({name: -weight for name, weight in weights.items()}, folder / stale, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": dict.fromkeys(weights, named)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        tower.update(folder, epoch)
        assert_of(tower, subject, folders[epoch], port)
        assert_of(tower_of(subject.implementation, folder, port), subject, folders[epoch], port)
