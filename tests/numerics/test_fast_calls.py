"""What a fast tower minds beside arithmetic: payloads and numbers that are none, files, modes, grids and devices."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from optimized.graphs import GRAPHS
from optimized.towers import load
from optimized.towers.kept_grids import KeptGrids, size
from optimized.towers.plan import Grid as Parts
from optimized.towers.plan import no_windows, plan
from optimized.towers.tower import GRAPHED
from plumbline.certify import NotCertified, certify, join, same_bits
from plumbline.interface import BadCheckpoint, BadPayload, Checkpoint
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.test_fast_towers import fast_of
from tests.numerics.towers import (
    COUNTS,
    TOWERS,
    all_same_bits,
    call_of,
    items_of,
    outputs,
    replaced_rotation,
    tower_of,
)

pytestmark = pytest.mark.usefixtures("single_thread")

GRIDS = [(1, 4, 6), (2, 4, 4), (1, 2, 2)]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("tower"), family=request.param)


# ------------------------------------------------------------------------------------------------------------ payloads


@pytest.mark.requirement("NUM-001")
@pytest.mark.parametrize("kind", TOWERS)
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_an_item_beside_nan_has_the_same_bits(kind: str, fast: bool, tmp_path: Path) -> None:
    """On the CPU in bfloat16, where some products read on where a row ends; on either side, and near the floor."""
    family, sizes = TOWERS[kind]
    made = checkpoint(tmp_path, family=family, **sizes)
    tower = (fast_of if fast else tower_of)(made, torch.bfloat16)
    tower.row_floor = 64
    items = items_of(tower, GRIDS)
    for index, item in enumerate(items):
        alone = outputs(tower(item))
        others = [dataclasses.replace(one, patches=torch.full_like(one.patches, torch.nan)) for one in items]
        found = outputs(tower(join([*others[:index], item, *others[index + 1 :]])))
        for wanted, rows in zip(alone, found, strict=True):
            first = sum(len(outputs(tower(one))[0]) for one in items[:index])
            assert same_bits(rows[first : first + len(wanted)], wanted)


@pytest.mark.parametrize("rest", [-1, 1, 40])
def test_a_payload_of_other_patches_than_its_grid_is_refused(folder: Path, rest: int) -> None:
    tower = fast_of(folder)
    call = call_of(tower, *GRIDS)
    count = int(call.cu_seqlens[-1])
    other = torch.zeros(count + rest, *call.patches.shape[1:])
    with pytest.raises(BadPayload, match=f"{count + rest} patches"):
        tower(dataclasses.replace(call, patches=other))
    ends = call.cu_seqlens.clone()
    ends[-1] += rest
    with pytest.raises(BadPayload, match=f"segments of {count + rest} together"):
        tower(dataclasses.replace(call, cu_seqlens=ends))


# ----------------------------------------------------------------------------------------------------- files and modes


def test_a_file_that_is_written_over_changes_nothing(folder: Path, tmp_path: Path) -> None:
    """In place, as some tools do, while its mapping may still be read."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    tower = fast_of(tmp_path)
    call = call_of(tower, *GRIDS)
    before = tower(call)
    weights = tmp_path / "model.safetensors"
    turned = save({name: weight.flip(0).contiguous() for name, weight in load_file(folder / weights.name).items()})
    with weights.open("r+b") as file:
        file.write(turned)
    assert all_same_bits(tower(call), before)


@pytest.mark.requirement("EPOCH-001")
def test_a_tower_that_was_loaded_in_inference_mode_can_be_updated(folder: Path) -> None:
    with torch.inference_mode():
        tower = fast_of(folder)
    tower.update(folder, 4)
    assert tower.epoch == 4


# ------------------------------------------------------------------------------------------------------ configurations


@pytest.mark.parametrize("kind", ["qwen3_vl", "qwen2_5_vl"])
def test_merging_that_shapes_cannot_hold_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="spatial_merge_size squared must divide"):
        fast_of(checkpoint(tmp_path, family=kind, spatial_merge_size=3))


@pytest.mark.parametrize("theta", [500.0, None])
def test_the_rotation_s_own_theta_holds(theta: float | None, tmp_path: Path) -> None:
    """As in transformers, where it is said beside it, too; else that one holds. In either tower."""
    both = replaced_rotation(checkpoint(tmp_path / "both"), 700.0, theta)
    one = replaced_rotation(checkpoint(tmp_path / "one"), None, theta or 700.0)
    for of in (fast_of, tower_of):
        call = call_of(of(one), *GRIDS)
        assert all_same_bits(of(both)(call), of(one)(call))


class OnCuda(HostPort):
    device = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("dtype", "sizes", "message"),
    [(torch.float64, {}, "float64 is for the CPU"), (torch.bfloat16, {"num_heads": 8}, "heads must have at least 16")],
)
def test_what_the_device_s_kernels_cannot_do_is_refused(
    dtype: torch.dtype, sizes: dict[str, int], message: str, tmp_path: Path
) -> None:
    made = checkpoint(tmp_path, **sizes)
    with pytest.raises(BadCheckpoint, match=message):
        load(Checkpoint(made, dtype, 1, 2, 3), OnCuda())
    fast_of(made, dtype)


@pytest.mark.requirement("NUM-004")
def test_the_plain_tower_s_certificate_is_not_the_fast_one_s(folder: Path) -> None:
    plain, fast = tower_of(folder), fast_of(folder)
    certificate = certify(plain, COUNTS)
    fast.row_floor = plain.row_floor
    with pytest.raises(NotCertified, match="implementation"):
        certificate.check(fast)


# ------------------------------------------------------------------------------------------------------- what is kept


@given(asked=st.lists(st.tuples(*[st.integers(1, 6)] * 3), max_size=60), limit=st.integers(0, 4000))
def test_kept_grids_are_those_that_were_asked_for_and_bounded(asked: list[tuple[int, int, int]], limit: int) -> None:
    def grid(frames: int, height: int, width: int) -> Parts:
        made.append((frames, height, width))
        return Parts(np.full((frames * height * width, 2), height), np.zeros((frames, 1)), no_windows())

    made: list[tuple[int, int, int]] = []
    kept = KeptGrids(grid, limit)
    for key in asked:
        before = len(made)
        held = key in kept.kept
        found = kept(*key)
        assert (len(made) == before) == held
        assert len(found.patches) == np.prod(key)
        assert found.patches[0, 0] == key[1]
        assert sum(map(size, kept.kept.values())) == kept.nbytes <= limit
        assert not kept.kept or list(kept.kept)[-1] == key or size(found) > limit


def test_usual_traffic_has_fewer_shapes_than_there_are_graphs(folder: Path, request: pytest.FixtureRequest) -> None:
    """Some pictures of usual sizes in each call, up to the most patches that are captured."""
    tower = fast_of(folder)
    draw = random.Random(request.config.option.plumbline_seed)
    shapes = set()
    for _ in range(1000):
        room, drawn = int(2 ** draw.uniform(6, GRAPHED.bit_length() - 1)), []
        while room >= 16 and len(drawn) < 24:
            height = 2 * draw.randint(2, 40)
            width = min(2 * draw.randint(2, 40), room // height // 2 * 2)
            if width < 4:
                break
            drawn.append((1, height, width))
            room -= height * width
        if drawn:
            starts = torch.tensor([0, *(h * w for _, h, w in drawn)]).cumsum(0)
            unread = items_of(tower, [(1, 2, 2)])[0]
            parts = tuple(dataclasses.replace(unread.items[0], grid_thw=grid) for grid in drawn)
            made = plan(dataclasses.replace(unread, cu_seqlens=starts, items=parts), tower.records)
            shapes.add(made.shape.above(108).bucket())
    assert len(shapes) <= GRAPHS
