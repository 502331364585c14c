"""The fast towers: how far they are from the plain ones and from transformers, and that an item's bits are its own."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

import reference.towers
from optimized.towers import kernels_host, load
from optimized.towers.attention import ROWS_PER_TILE
from optimized.towers.checkpoint import Stored
from optimized.towers.plan import FINEST, Shape, plan, tiles_of
from optimized.towers.tower import FastTower
from optimized.towers.trunk import SIDE
from optimized.towers.weights import tensors
from plumbline import judge_tower
from plumbline.certify import certify, join, same_bits
from plumbline.interface import (
    BadCheckpoint,
    BadGrid,
    Checkpoint,
    DevicePort,
    LoadedTower,
    Modality,
    Packed,
    PackedItem,
)
from plumbline.judge_tower import families_of
from plumbline.oracle import Oracle, terms_of_float32
from plumbline.parts import loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint, values
from tests.numerics.bounds import PlainOracle, Record, hold, oracle_of
from tests.numerics.test_loading import EVERYWHERE, ONLY, Damage
from tests.numerics.towers import (
    CALLS,
    COUNTS,
    TOWERS,
    Grid,
    all_same_bits,
    call_of,
    items_of,
    outputs,
    reached_by_nan,
    replaced_rotation,
    rewrite_weights,
    tower_of,
)

pytestmark = pytest.mark.usefixtures("single_thread")


def fast_of(folder: Path, dtype: torch.dtype = torch.float32) -> FastTower:
    tower = load(Checkpoint(folder, dtype, 151655, 151656, 151936), HostPort())
    assert isinstance(tower, FastTower)
    return tower


@pytest.fixture(scope="module", params=TOWERS)
def family(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, sizes = TOWERS[family]
    return checkpoint(tmp_path_factory.mktemp("tower"), family=kind, **sizes)


# ------------------------------------------------------------------------------------------------------------ distance


def fast_tower(subject: Subject) -> Callable[[Checkpoint, DevicePort], LoadedTower]:
    tower = subject.implementation.tower
    if tower is None or tower is reference.towers.load:
        pytest.skip("no other tower than the plain one")
    return tower


@pytest.mark.requirement("NUM-006")
def test_an_implementation_s_tower_loads_some_family(subject: Subject, tmp_path: Path) -> None:
    fast_tower(subject)
    families_of(subject.implementation, tmp_path, HostPort())


def loaded(tower: Callable[[Checkpoint, DevicePort], LoadedTower], folder: Path) -> LoadedTower:
    try:
        return tower(Checkpoint(folder, torch.float32, 151655, 151656, 151936), HostPort())
    except BadCheckpoint as error:
        pytest.skip(f"not a family of this tower: {error}")


@pytest.mark.requirement("NUM-006")
@pytest.mark.parametrize("name", ["several", "long", "strips", "clip"])
def test_an_implementation_s_tower_is_within_the_bound_of_the_plain_one(
    subject: Subject, family: str, folder: Path, name: str, record_property: Record
) -> None:
    """Of a fresh tower, whatever call is its first."""
    hold_to_the_plain_one(loaded(fast_tower(subject), folder), folder, TOWERS[family][0], name, record_property)


@pytest.mark.requirement("NUM-006")
@pytest.mark.parametrize(("beside", "inside"), [(700.0, None), (None, 500.0), (700.0, 500.0)])
@pytest.mark.parametrize("kind", ["qwen3_vl", "qwen2_5_vl"])
def test_an_implementation_s_tower_turns_as_its_configuration_says(
    subject: Subject, kind: str, beside: float | None, inside: float | None, tmp_path: Path, record_property: Record
) -> None:
    """By the base that transformers reads, whichever version of it wrote the file."""
    folder = replaced_rotation(checkpoint(tmp_path / "one", family=kind), beside, inside)
    hold_configured(subject, kind, folder, record_property)


@pytest.mark.requirement("NUM-006")
@pytest.mark.parametrize("sizes", [{"temporal_patch_size": 1}, {"temporal_patch_size": 3}, {"patch_size": 2}], ids=str)
@pytest.mark.parametrize("kind", ["qwen3_vl", "qwen2_5_vl"])
def test_an_implementation_s_tower_takes_patches_of_other_sizes(
    subject: Subject, kind: str, sizes: dict[str, object], tmp_path: Path, record_property: Record
) -> None:
    hold_configured(subject, kind, checkpoint(tmp_path / "one", family=kind, **sizes), record_property)


def hold_configured(subject: Subject, kind: str, folder: Path, record_property: Record) -> None:
    """Skips where it does not load the family; to refuse this folder of the family is wrong."""
    fast_tower(subject)
    loads(subject, kind, folder.parent / "each")
    tower = judge_tower.tower_of(subject.implementation, folder, HostPort())
    hold_to_the_plain_one(tower, folder, kind, "several", record_property)


def hold_to_the_plain_one(tower: LoadedTower, folder: Path, kind: str, name: str, record_property: Record) -> None:
    theirs = PlainOracle(folder, kind)
    call = call_of(theirs.exact, *CALLS[name])
    found = outputs(tower(call))
    own = theirs.sigmas(call, terms_of_float32)
    hold(record_property, "fast to plain, float32", found, outputs(tower_of(folder)(call)), own, own)
    hold(record_property, "fast float32 to plain float64", found, theirs.run(theirs.exact, call), own)


@pytest.fixture(scope="module")
def theirs(family: str, folder: Path) -> Oracle:
    return oracle_of(folder, TOWERS[family][0])


@pytest.mark.requirement("NUM-002", "NUM-003")
def test_an_implementation_s_tower_is_within_the_bound_of_transformers(
    subject: Subject, theirs: Oracle, folder: Path, record_property: Record
) -> None:
    if subject.implementation.tower is None:
        pytest.skip("it brings no tower")
    tower = loaded(subject.implementation.tower, folder)
    call = call_of(tower, *CALLS["several"])
    found, single, exact = outputs(tower(call)), theirs.run(theirs.single, call), theirs.run(theirs.exact, call)
    own, rest = theirs.sigmas(call, terms_of_float32), theirs.sigmas(call, theirs.terms_of_itself)
    hold(record_property, "to transformers, float32", found, single, own, own)
    hold(record_property, "to transformers, float64", found, exact, own, rest)


@pytest.mark.requirement("NUM-006")
@pytest.mark.parametrize("name", CALLS)
def test_distances_to_transformers_are_within_the_bound(
    theirs: Oracle, folder: Path, name: str, record_property: Record
) -> None:
    tower = fast_of(folder)
    call = call_of(tower, *CALLS[name])
    exact = theirs.run(theirs.exact, call)
    own, rest = theirs.sigmas(call, terms_of_float32), theirs.sigmas(call, theirs.terms_of_itself)
    hold(record_property, "fast float32 to float64", outputs(tower(call)), exact, own, rest)


# ---------------------------------------------------------------------------------------------------------- invariance

Certified = Callable[[torch.dtype], FastTower]


@pytest.fixture(scope="module")
def certified(folder: Path) -> Certified:
    """The tower with its row floor. Skips where this machine gives none: nothing is claimed there."""

    @cache
    def of(dtype: torch.dtype) -> FastTower:
        tower = fast_of(folder, dtype)
        certificate = certify(tower, COUNTS)
        if certificate.row_floor is None:
            pytest.skip(f"not certified here: {certificate.differing}")
        assert certificate.invariant, certificate.broken
        return tower

    return of


def grids(most: int) -> st.SearchStrategy[list[Grid]]:
    """Some items of up to 4 frames and 10 x 10 rows each."""
    side = st.integers(1, 10).map(lambda rows: 2 * rows)
    return st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 4]), side, side), min_size=1, max_size=most)


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.requirement("NUM-001")
@DTYPES
@FEW
@given(drawn=grids(6), seed=st.integers(0, 999))
def test_an_item_has_the_same_bits_in_any_company(
    certified: Certified, dtype: torch.dtype, drawn: list[Grid], seed: int
) -> None:
    tower = certified(dtype)
    items = items_of(tower, drawn)
    alone = [outputs(tower(item)) for item in items]
    order = random.Random(seed).sample(range(len(items)), len(items))
    together = outputs(tower(join([items[index] for index in order])))
    for level, rows in enumerate(together):
        pieces = torch.split(rows, [len(alone[index][level]) for index in order])
        assert all(same_bits(piece, alone[index][level]) for piece, index in zip(pieces, order, strict=True))


@pytest.mark.requirement("NUM-001")
def test_an_item_of_no_numbers_reaches_no_other(certified: Certified) -> None:
    assert reached_by_nan(certified(torch.float32), CALLS["several"]) == []


@pytest.mark.requirement("NUM-001")
@DTYPES
@FEW
@given(drawn=grids(4), more=st.tuples(*[st.integers(0, 40)] * 4), poison=st.sampled_from([1e4, -3e-3]))
def test_an_item_has_the_same_bits_in_any_bucket(
    certified: Certified, dtype: torch.dtype, drawn: list[Grid], more: Sequence[int], poison: float
) -> None:
    """Whatever lies behind the patches: numbers of another size than theirs."""
    tower = certified(dtype)
    call = call_of(tower, *drawn)
    made = plan(call, tower.records)
    exact = made.shape.above(tower.row_floor)
    patches, *rest = more
    grown = [have + extra for have, extra in zip((exact.rows, exact.tiles, exact.windows), rest, strict=True)]
    shape = Shape(exact.patches + FINEST * patches, *grown)
    payload = call.patches.to(dtype).flatten(1)
    behind = torch.full((shape.patches - len(payload), payload.shape[1]), poison, dtype=dtype)
    found = tower.run(torch.cat([payload, behind]), made, shape, captured=False)
    for here, wanted in zip(found, outputs(tower(call)), strict=True):
        assert same_bits(here[: len(wanted)], wanted)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "function", [F.silu, F.gelu, partial(F.gelu, approximate="tanh")], ids=["silu", "gelu", "tanh"]
)
def test_an_activation_gives_a_row_the_same_bits_wherever_it_lies(
    function: Callable[[Tensor], Tensor], threads: int
) -> None:
    """One row of odd length alone or among many. (Two of the three do not by themselves, on the machines seen so far.)"""
    x = 3 * values((500, 203), "x")
    torch.set_num_threads(threads)
    try:
        together = kernels_host.rowwise(function, x).split(1)
        assert all(map(same_bits, together, [kernels_host.rowwise(function, row) for row in x.split(1)]))
    finally:
        torch.set_num_threads(1)


# ----------------------------------------------------------------------------------------------------------- the plan


@given(lengths=st.lists(st.integers(0, 3 * ROWS_PER_TILE + 5), min_size=1, max_size=12))
def test_tiles_cover_each_row_once_and_in_its_segment(lengths: list[int]) -> None:
    covered = []
    ends = np.cumsum(lengths)
    for first, start, end in tiles_of(np.array(lengths, dtype=np.int32)).tolist():
        rows = range(first, min(first + ROWS_PER_TILE, end))
        segment = int(np.searchsorted(ends, first, side="right"))
        assert rows
        assert (start, end) == (ends[segment] - lengths[segment], ends[segment])
        covered += rows
    assert sorted(covered) == list(range(sum(lengths)))


@given(counts=st.tuples(st.integers(1, 9000), st.integers(1, 3000), st.integers(1, 500), st.integers(0, 500)))
def test_a_bucket_holds_the_shape_and_is_not_much_larger(counts: tuple[int, int, int, int]) -> None:
    shape = Shape(*counts)
    bucket = shape.bucket()
    pairs = list(zip(dataclasses.astuple(shape), dataclasses.astuple(bucket), strict=True))
    assert all(have <= larger for have, larger in pairs)
    assert all(larger <= max(have + FINEST, have * 5 / 4) for have, larger in pairs[:2])
    assert (bucket.windows > 0) == (shape.windows > 0)
    assert bucket.bucket() == bucket


def test_there_are_four_buckets_for_each_doubling() -> None:
    doublings = 8
    most = FINEST << doublings
    assert len({Shape(count, 1, 1, 1).bucket() for count in range(1, most + 1)}) <= 4 * doublings


# ------------------------------------------------------------------------------------------------------------- limits


def test_a_longer_side_than_angles_are_kept_for_is_refused(tmp_path: Path) -> None:
    tower = fast_of(checkpoint(tmp_path))
    grid = (1, 2, SIDE + 2)
    unread = torch.zeros(1, 1536).expand(math.prod(grid), 1536)
    item = PackedItem(Modality.IMAGE, grid, (len(unread),), {})
    with pytest.raises(BadGrid, match=f"a side of {SIDE + 2} patches"):
        tower(Packed(unread, torch.tensor([0, len(unread)]), (item,)))


def test_frames_are_no_side(tmp_path: Path) -> None:
    tower = fast_of(checkpoint(tmp_path, depth=1, deepstack_visual_indexes=[]))
    frames = SIDE + 2
    patches = torch.zeros(4 * frames, 1536)
    item = PackedItem(Modality.VIDEO, (frames, 2, 2), (len(patches),), {})
    assert tower(Packed(patches, torch.arange(0, len(patches) + 1, 4), (item,))).rows.isfinite().all(1).sum() == frames


# ------------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize(
    ("kind", "damage"), [(kind, bad) for kind in FAMILIES for bad, _ in (*EVERYWHERE, *ONLY[kind])]
)
def test_what_the_plain_tower_refuses_is_refused(kind: str, damage: Damage, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, family=kind)
    damage(folder)
    with pytest.raises(BadCheckpoint):
        fast_of(folder)


def test_kimi_is_loaded_as_it_is_published(tmp_path: Path) -> None:
    """Other names, and one linear for queries, keys and values, in which pairs that turn together are neighbours."""
    named = checkpoint(tmp_path / "named", family="kimi_k25")
    weights = load_file(named / "model.safetensors")
    whole = json.loads((named / "config.json").read_text())
    heads, layers = whole["vision_config"]["num_attention_heads"], whole["vision_config"]["num_hidden_layers"]

    def neighbours(rows: Tensor) -> Tensor:
        first, second = rows.unflatten(0, (heads, 2, -1)).unbind(1)
        return torch.stack([first, second], dim=2).flatten(0, 2)

    found = {
        "patch_embed.proj.weight": weights["vision_tower.patch_embed.proj.weight"],
        "patch_embed.proj.bias": weights["vision_tower.patch_embed.proj.bias"],
        "patch_embed.pos_emb.weight": weights["vision_tower.patch_embed.pos_emb.position_embeddings"],
    }
    for part in ("weight", "bias"):
        found[f"encoder.final_layernorm.{part}"] = weights[f"vision_tower.final_layernorm.{part}"]
        for layer in range(layers):
            old, new = f"vision_tower.layers.{layer}", f"encoder.blocks.{layer}"
            q, k, v = (weights[f"{old}.attn.{name}_proj.{part}"] for name in "qkv")
            found[f"{new}.wqkv.{part}"] = torch.cat([neighbours(q), neighbours(k), v])
            found[f"{new}.wo.{part}"] = weights[f"{old}.attn.proj.{part}"]
            for number in (0, 1):
                found[f"{new}.norm{number}.{part}"] = weights[f"{old}.norm{number + 1}.{part}"]
                found[f"{new}.mlp.fc{number}.{part}"] = weights[f"{old}.mlp.fc{number + 1}.{part}"]
    projector = {"pre_norm": "pre_norm", "in_proj": "proj.0", "out_proj": "proj.2"}
    published = {f"vision_tower.{name}": weight for name, weight in found.items()} | {
        f"mm_projector.{new}.{part}": weights[f"mm_projector.{old}.{part}"]
        for old, new in projector.items()
        for part in ("weight", "bias")
    }
    folder = tmp_path / "published"
    folder.mkdir()
    save_file({name: weight.contiguous() for name, weight in published.items()}, folder / "model.safetensors")
    vision = whole["vision_config"]
    sizes = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    vision |= {f"vt_{name}": vision.pop(name) for name in sizes}
    vision |= {f"init_pos_emb_{name}": vision.pop(f"pos_emb_{name}") for name in ("height", "width", "time")}
    del vision["hidden_act"]
    (folder / "config.json").write_text(json.dumps(whole))
    call = call_of(fast_of(named), *CALLS["several"])
    assert all_same_bits(fast_of(folder)(call), fast_of(named)(call))


# ------------------------------------------------------------------------------------------------------------- update


def halved(folder: Path) -> Path:
    rewrite_weights(folder, **{name: weight / 2 for name, weight in load_file(folder / "model.safetensors").items()})
    return folder


def addresses(tower: FastTower) -> list[int]:
    return [weight.data_ptr() for weight in tensors(tower.weights)]


def test_an_update_writes_over_the_weights_where_they_are(family: str, folder: Path, tmp_path: Path) -> None:
    """Fused and permuted ones, too: a captured graph reads them there."""
    kind, sizes = TOWERS[family]
    new = halved(checkpoint(tmp_path, family=kind, **sizes))
    tower, fresh = fast_of(folder), fast_of(new)
    call = call_of(tower, *CALLS["several"])
    before = tower(call), addresses(tower)
    tower.update(new, 3)
    assert tower.epoch == 3
    assert addresses(tower) == before[1]
    assert all_same_bits(tower(call), fresh(call))
    assert not all_same_bits(tower(call), before[0])


def test_an_update_that_breaks_off_changes_nothing(
    family: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last weight cannot be read, when all the others have been."""
    kind, sizes = TOWERS[family]
    new = halved(checkpoint(tmp_path, family=kind, **sizes))
    tower = fast_of(folder)
    call = call_of(tower, *CALLS["several"])
    before = tower(call)
    left = iter(range(len(tower.shapes()) - 1))

    def read(stored: object, name: str) -> Tensor:
        if next(left, None) is None:
            raise BadCheckpoint("cannot be read", where=name)
        return whole(stored, name)

    whole = Stored.__call__
    monkeypatch.setattr(Stored, "__call__", read)
    with pytest.raises(BadCheckpoint):
        tower.update(new, 3)
    assert tower.epoch == 0
    assert all_same_bits(tower(call), before)
