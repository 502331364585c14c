"""Checkpoints in several files, as large models are published: any weights in any of them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from plumbline.judge_tower import folders_of, tower_of
from plumbline.parts import loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES
from tests.numerics.towers import all_same_bits, call_of

pytestmark = pytest.mark.usefixtures("single_thread")

DIVISIONS = 8


def divide(folder: Path, rng: random.Random) -> None:
    """Its weights in up to five files under an index, those of a language model among them. Weights whose names begin alike
    stay together, as where files are filled one module after the other."""
    file = folder / "model.safetensors"
    weights = load_file(file) | {f"model.language_model.layers.{k}.norm.weight": torch.ones(3) for k in range(4)}
    file.unlink()
    count, alike = rng.randint(2, 5), rng.randint(1, 5)
    starts = {name: ".".join(name.split(".")[:alike]) for name in weights}
    places = {
        start: f"model-{rng.randint(1, count)}-of-{count}.safetensors" for start in dict.fromkeys(starts.values())
    }
    shard = {name: places[starts[name]] for name in weights}
    for path in set(shard.values()):
        save_file({n: w for n, w in weights.items() if shard[n] == path}, folder / path, metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())}, "weight_map": shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.requirement("NUM-008")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tower_is_the_same_from_any_shards(
    subject: Subject, family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Loaded from them, and updated from them when it had other weights."""
    loads(subject, family, tmp_path / "each")
    other, one, *_ = folders_of(tmp_path / "whole", family=family)
    whole, updated = (tower_of(subject.implementation, folder, HostPort()) for folder in (one, other))
    call = call_of(whole, (1, 4, 6), (1, 4, 4))
    rng = random.Random(request.config.option.plumbline_seed)
    for number in range(DIVISIONS):
        folder = shutil.copytree(one, tmp_path / str(number))
        divide(folder, rng)
        named = sorted(path.name for path in folder.iterdir())
        assert all_same_bits(tower_of(subject.implementation, folder, HostPort())(call), whole(call)), (
            f"loaded: {named}"
        )
        updated.update(other, 2 * number)
        assert not all_same_bits(updated(call), whole(call))
        updated.update(folder, 2 * number + 1)
        assert all_same_bits(updated(call), whole(call)), f"updated: {named}"
