"""Which folders the plain towers are loaded from, what they say of themselves, and how they take other weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plumbline.interface import BadCheckpoint, BadGrid, Layout, Modality
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.published import publish, rename_fields
from tests.numerics.towers import all_same_bits, call_of, rewrite_config, rewrite_weights, tower_of

pytestmark = pytest.mark.usefixtures("single_thread")

GRIDS = [(1, 4, 6), (3, 4, 4)]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def same_tower(a: Path, b: Path) -> bool:
    first, second = tower_of(a), tower_of(b)
    call = call_of(first, *GRIDS)
    return vars(first.spec) == vars(second.spec) and all_same_bits(first(call), second(call))


def retype(folder: Path, kind: str, **changes: object) -> None:
    """Gives the whole configuration another ``model_type``."""
    raw = json.loads((folder / "config.json").read_text()) | {"model_type": kind}
    (folder / "config.json").write_text(json.dumps(raw))
    rewrite_config(folder, **changes)


# ------------------------------------------------------------------------------------------------------------- families


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_whole_model_s_checkpoint_gives_the_same_tower(family: str, prefix: str, tmp_path: Path) -> None:
    inside = FAMILIES[family].prefix.removeprefix("model.")
    alone = checkpoint(tmp_path / "alone", family=family)
    whole = checkpoint(tmp_path / "whole", prefix + inside, family)
    save_file({"model.language_model.norm.weight": torch.ones(3)}, whole / "more.safetensors")
    assert same_tower(alone, whole)


@pytest.mark.parametrize("kind", ["qwen3_vl", "qwen3_vl_moe", "qwen3_vl_moe_vision"])
def test_another_model_with_the_same_tower(kind: str, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other")
    retype(other, kind)
    assert same_tower(checkpoint(tmp_path / "vision"), other)


@pytest.mark.parametrize("kind", ["qwen3_5_vision", "qwen3_5_moe_vision"])
def test_another_model_without_deepstack(kind: str, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other", deepstack_visual_indexes=[])
    retype(other, kind, deepstack_visual_indexes=None)
    assert same_tower(checkpoint(tmp_path / "vision", deepstack_visual_indexes=[]), other)


def test_the_vision_configuration_of_kimi_alone(tmp_path: Path) -> None:
    whole, alone = (checkpoint(tmp_path / name, family="kimi_k25") for name in ("whole", "alone"))
    vision = json.loads((alone / "config.json").read_text())["vision_config"]
    (alone / "config.json").write_text(json.dumps(vision))
    assert same_tower(whole, alone)


def test_kimi_as_it_is_published(tmp_path: Path) -> None:
    """By transformers' own reader, too, which knows the published names of weights."""
    adapter = pytest.importorskip("adapters.transformers")
    ours, theirs = checkpoint(tmp_path / "ours", family="kimi_k25"), checkpoint(tmp_path / "theirs", family="kimi_k25")
    ids = {"image_token_id": 1, "video_token_id": 2, "vocab_size": 3}
    one, other = adapter.load(ours, **ids), adapter.load(publish(theirs), **ids)
    call = call_of(one, (1, 4, 6))
    assert all_same_bits(one(call), other(call))
    rename_fields(theirs)
    assert same_tower(ours, theirs)


def test_the_specification_follows_the_checkpoint(family: str, tmp_path: Path) -> None:
    spec = tower_of(checkpoint(tmp_path, family=family)).spec
    layouts = {
        "qwen3_vl": Layout(151656, (3 * 2 * 16 * 16,), True, 2),
        "qwen2_5_vl": Layout(151656, (3 * 2 * 14 * 14,), True, 2),
        "kimi_k25": Layout(151656, (3, 14, 14), True, 2, pools_frames=True),
    }
    assert spec.layouts[Modality.VIDEO] == layouts[family]
    assert spec.layouts[Modality.IMAGE].placeholder_id == 151655
    assert (spec.hidden_size, spec.side_levels, spec.vocab_size) == (48, 2 if family == "qwen3_vl" else 0, 151936)


def test_kimi_has_no_time_for_a_longer_clip(tmp_path: Path) -> None:
    tower = tower_of(checkpoint(tmp_path, family="kimi_k25", pos_emb_time=4))
    assert len(tower(call_of(tower, (4, 2, 2))).rows) == 1
    with pytest.raises(BadGrid, match="5 frames, at most 4"):
        tower(call_of(tower, (5, 2, 2)))


# ----------------------------------------------------------------------------------------------------------------- bad

Damage = Callable[[Path], object]
INDEX = "model.safetensors.index.json"

EVERYWHERE: list[tuple[Damage, str]] = [
    (lambda f: (f / "config.json").unlink(), "config.json: cannot be read"),
    (lambda f: (f / "config.json").write_text("{"), "config.json: cannot be read"),
    (lambda f: (f / "config.json").write_text("[]"), "config.json: is not an object"),
    (lambda f: retype(f, "siglip"), "model_type siglip, not one of qwen2_5_vl, qwen3_vl"),
    (lambda f: rewrite_config(f, hidden_size=None), "config.json: no hidden_size"),
    (lambda f: rewrite_config(f, hidden_act="relu"), "hidden_act must be"),
    (lambda f: rewrite_config(f, hidden_size=70), "hidden_size must be"),
    (lambda f: rewrite_config(f, rope_parameters={"rope_type": "yarn"}), "rope_type must be"),
    (lambda f: rewrite_config(f, rope_parameters=[1]), "rope_parameters must be an object"),
    (lambda f: rewrite_config(f, rope_parameters={"rope_theta": None}), "rope_theta must be a number"),
    (lambda f: rewrite_config(f, hidden_size="48"), "hidden_size must be a whole number"),
    (lambda f: rewrite_config(f, patch_size=0), "patch_size must be a whole number"),
    (lambda f: replaced(f, vision_config=None), "vision_config must be an object"),
    (lambda f: replaced(f, vision_config=[1]), "vision_config must be an object"),
    (
        lambda f: rewrite_weights(f, stray=torch.ones(2), **{"vision_tower.stray": torch.ones(2)}),
        "weights unexpected: ",
    ),
    (lambda f: (f / "model.safetensors").write_bytes(b"short"), "cannot be read"),
    (lambda f: (f / "model.safetensors").unlink(), "5[0-9] weights missing"),
    (lambda f: indexed(f, "{"), "index.json: cannot be read"),
    (lambda f: indexed(f, '{"weight_map": [1]}'), "weight_map"),
    (lambda f: indexed(f, '{"weight_map": {"a": "gone.safetensors"}}'), "cannot be read"),
]
ONLY: dict[str, list[tuple[Damage, str]]] = {
    "qwen3_vl": [
        (lambda f: rewrite_config(f, num_heads=0), "num_heads must be a whole number"),
        (lambda f: rewrite_config(f, spatial_merge_size=0), "spatial_merge_size must be a whole number"),
        (lambda f: replaced(f, deepstack_visual_indexes=None), "deepstack_visual_indexes must be a list"),
        (lambda f: rewrite_config(f, deepstack_visual_indexes=2), "deepstack_visual_indexes must be a list"),
        (lambda f: rewrite_config(f, num_position_embeddings=65), "num_position_embeddings must be"),
        (lambda f: rewrite_config(f, deepstack_visual_indexes=[0, 3]), "deepstack_visual_indexes must be"),
        (lambda f: rewrite_config(f, deepstack_visual_indexes=[1, 0]), "deepstack_visual_indexes must be"),
        (lambda f: rewrite_config(f, deepstack_visual_indexes=[1, 1]), "deepstack_visual_indexes must be"),
        (lambda f: rewrite_config(f, deepstack_visual_indexes=None), "12 weights unexpected: deepstack_merger_list.0"),
        (lambda f: rewrite_config(f, depth=4), "12 weights missing: blocks.3.attn.proj.bias"),
        (lambda f: rewrite_config(f, depth=2), "12 weights unexpected: blocks.2.attn.proj.bias"),
        (lambda f: rewrite_config(f, out_hidden_size=40), r"merger.*: shape \(48,.*expected \(40,"),
        (lambda f: rewrite_weights(f, **{"merger.norm.bias": None}), "1 weights missing: merger.norm.bias"),
    ],
    "qwen2_5_vl": [
        (lambda f: rewrite_config(f, window_size=14), "window_size must be"),
        (lambda f: rewrite_config(f, num_heads=0), "num_heads must be a whole number"),
        (lambda f: rewrite_config(f, fullatt_block_indexes=[[1]]), "fullatt_block_indexes must be a list"),
        (lambda f: rewrite_config(f, fullatt_block_indexes=[4]), "fullatt_block_indexes must be"),
        (lambda f: rewrite_config(f, depth=5), "12 weights missing: blocks.4.attn.proj.bias"),
        (lambda f: rewrite_config(f, out_hidden_size=40), r"merger.*: shape \(48,.*expected \(40,"),
        (
            lambda f: rewrite_weights(f, **{"patch_embed.proj.bias": torch.ones(60)}),
            "1 weights unexpected: patch_embed",
        ),
    ],
    "kimi_k25": [
        (lambda f: rewrite_config(f, merge_kernel_size=[2, 3]), "merge_kernel_size must be"),
        (lambda f: rewrite_config(f, merge_kernel_size=2), "merge_kernel_size must be a list"),
        (lambda f: rewrite_config(f, merge_kernel_size=[]), "merge_kernel_size must be a square"),
        (lambda f: rewrite_config(f, merge_kernel_size=[0, 0]), "merge_kernel_size must be a square"),
        (lambda f: rewrite_config(f, num_attention_heads=0), "num_attention_heads must be a whole number"),
        (lambda f: replaced(f, projection_hidden_size=80), "projection_hidden_size must be"),
        (
            lambda f: rewrite_config(f, num_hidden_layers=4),
            "16 weights missing: vision_tower.layers.3.attn.k_proj.bias",
        ),
        (
            lambda f: rewrite_config(f, pos_emb_width=9),
            r"position_embeddings: shape \(8, 8, 72\), expected \(8, 9, 72\)",
        ),
        (
            lambda f: rewrite_weights(f, **{"mm_projector.out_proj.bias": None}),
            "1 weights missing: mm_projector.out_proj.bias",
        ),
    ],
}


def indexed(folder: Path, index: str) -> None:
    """In a file of another name, and with such an index."""
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / INDEX).write_text(index)


def replaced(folder: Path, **changes: object) -> None:
    """Changes fields beside the vision configuration, or of it where that is all."""
    raw: dict[str, Any] = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [(kind, *bad) for kind in FAMILIES for bad in (*EVERYWHERE, *ONLY[kind])],
)
def test_a_bad_checkpoint_is_named(tmp_path: Path, kind: str, damage: Damage, message: str) -> None:
    folder = checkpoint(tmp_path, family=kind)
    damage(folder)
    with pytest.raises(BadCheckpoint, match=message):
        tower_of(folder)


# -------------------------------------------------------------------------------------------------------------- update


def other_weights(folder: Path) -> Path:
    """All of them doubled."""
    rewrite_weights(folder, **{name: 2 * weight for name, weight in load_file(folder / "model.safetensors").items()})
    return folder


@pytest.mark.requirement("EPOCH-001")
def test_an_updated_tower_is_the_one_that_is_loaded_from_there(family: str, tmp_path: Path) -> None:
    old, new = checkpoint(tmp_path / "old", family=family), other_weights(checkpoint(tmp_path / "new", family=family))
    tower, fresh = tower_of(old), tower_of(new)
    call = call_of(tower, *GRIDS)
    before = tower(call)
    tower.row_floor = 5
    tower.update(new, 7)
    assert (tower.epoch, tower.row_floor) == (7, 5)
    tower.row_floor = 1
    assert all_same_bits(tower(call), fresh(call))
    assert not all_same_bits(tower(call), before)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: (f / "config.json").unlink(),
        lambda f: (f / "model.safetensors").unlink(),
        lambda f: rewrite_weights(f, **{"vision_tower.stray": torch.ones(2)}),
        lambda f: rewrite_config(f, rope_parameters={"rope_type": "axial", "rope_theta": 9000.0}),
    ],
)
def test_a_bad_update_changes_nothing(family: str, damage: Damage, tmp_path: Path) -> None:
    tower = tower_of(checkpoint(tmp_path / "old", family=family))
    call = call_of(tower, *GRIDS)
    before = tower(call)
    new = other_weights(checkpoint(tmp_path / "new", family=family))
    damage(new)
    with pytest.raises(BadCheckpoint):
        tower.update(new, 7)
    assert tower.epoch == 0
    assert all_same_bits(tower(call), before)
