"""Configurations of each family as they are drawn, and calls whose items fall on either side of what they name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import load_file

from plumbline.drawing import draw_each
from plumbline.interface import BadCheckpoint
from plumbline.judge_tower import tower_of
from plumbline.oracle import TERMS, Oracle
from plumbline.parts import loads
from plumbline.profiles import share
from plumbline.pytest_plugin import DEFAULT_IMPLEMENTATIONS
from plumbline.resolve import SpecError, Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.bounds import PlainOracle, Record, hold
from tests.numerics.published import publish, rename_fields
from tests.numerics.towers import Clip, Grid, call_of, outputs, rewrite_weights

pytestmark = pytest.mark.usefixtures("single_thread")

CASES = {"quick": 2, "tests": 6, "default": 20, "thorough": 100, "mutant": 12}
"""Towers of each family, by profile; the implementations of a session share them."""

FAR = 264
"""Places on one side, beyond those that bfloat16 tells apart."""

Draw = Callable[[st.SearchStrategy[Any]], Any]
DTYPES = [torch.float32, torch.float32, torch.bfloat16, torch.float16]


@dataclass(frozen=True)
class Configured:
    """sizes: of the checkpoint. grids: of the items of one call. square: so is its table, and transformers knows no others.
    published: the tower reads it under the names of its publisher, which are not those of transformers."""

    sizes: dict[str, Any]
    grids: tuple[Grid, ...]
    square: bool = True
    published: bool = False


def some_of(layers: int) -> st.SearchStrategy[list[int]]:
    return st.sets(st.integers(0, layers - 1)).map(sorted)


def _listed(layers: list[int]) -> st.SearchStrategy[list[int]]:
    """Ascending, as published, or in any order."""
    return st.one_of(st.just(layers), st.permutations(layers))


@st.composite
def _common(draw: Draw) -> dict[str, Any]:
    small = (draw(st.sampled_from([2, 3, 4])), draw(st.sampled_from([16, 20, 24])))
    # The last two are heads as large as those of released towers.
    heads, width = draw(st.sampled_from([small, small, small, (1, 72), (1, 80)]))
    return {"hidden_size": heads * width, "intermediate_size": draw(st.sampled_from([64, 100]))} | {
        "heads": heads,
        "layers": draw(st.integers(1, 4)),
        "patch_size": draw(st.sampled_from([2, 4, 7])),
        "merge": draw(st.sampled_from([2, 2, 2, 1, 4])),
    }


def _qwen(common: dict[str, Any], frames: int) -> dict[str, Any]:
    names = {"layers": "depth", "heads": "num_heads", "merge": "spatial_merge_size"}
    return {names.get(name, name): value for name, value in common.items()} | {"temporal_patch_size": frames}


@st.composite
def qwen3_vl(draw: Draw) -> Configured:
    common = draw(_common())
    side = draw(st.sampled_from([8, 4, 6, 3, 5]))
    sizes = _qwen(common, draw(st.sampled_from([2, 1, 3]))) | {
        "num_position_embeddings": side**2,
        "deepstack_visual_indexes": draw(_listed(draw(some_of(common["layers"])))),
    }
    return Configured(sizes, draw(_grids(common["merge"], (side, side), 3)))


@st.composite
def qwen2_5_vl(draw: Draw) -> Configured:
    common = draw(_common())
    window = common["merge"] * draw(st.sampled_from([1, 2, 3]))
    sizes = _qwen(common, draw(st.sampled_from([2, 1, 3]))) | {
        "window_size": window * common["patch_size"] + draw(st.sampled_from([0, 0, 1])),
        "fullatt_block_indexes": draw(some_of(common["layers"])),
    }
    return Configured(sizes, draw(_grids(common["merge"], (window, window), 3)))


@st.composite
def kimi_k25(draw: Draw) -> Configured:
    common = draw(_common())
    height, width = draw(st.sampled_from([(8, 8), (4, 4), (6, 6), (5, 5), (2, 8), (9, 4), (6, 3), (5, 7)]))
    time = draw(st.sampled_from([4, 1, 2]))
    names = {"layers": "num_hidden_layers", "heads": "num_attention_heads"}
    sizes = {names.get(name, name): value for name, value in common.items() if name != "merge"}
    sizes |= {"merge_kernel_size": [common["merge"]] * 2}
    sizes |= {"pos_emb_height": height, "pos_emb_width": width, "pos_emb_time": time}
    grids = draw(_grids(common["merge"], (height, width), time))
    return Configured(sizes, grids, height == width, published=draw(st.booleans()))


CONFIGURED = {"qwen3_vl": qwen3_vl(), "qwen2_5_vl": qwen2_5_vl(), "kimi_k25": kimi_k25()}


@st.composite
def _grids(draw: Draw, merge: int, table: tuple[int, int], frames: int) -> tuple[Grid, ...]:
    """Items around a table or a window of so many patches: as large, on one side larger and on the other smaller, or of as
    many patches in another shape. One has many rows, so that a distance is a mean of many numbers."""
    height, width = table
    long = [(merge, FAR), (FAR, merge)]
    shapes = [table, (height // 2, 2 * width), (2 * height, width // 2), (height, 3 * width), (3 * height, width)]
    found: list[Grid] = [Clip((draw(st.integers(1, frames)), 6 * merge, 5 * merge))]
    for _ in range(draw(st.integers(1, 4))):
        near = draw(st.sampled_from([*shapes, *long, (draw(st.integers(1, 12)), draw(st.integers(1, 12)))]))
        side = [max(1, round(length / merge)) * merge for length in near]
        count = draw(st.sampled_from([1, 1, 1, frames]))
        grid = (count, side[0], side[1])
        found.append(Clip(grid) if draw(st.booleans()) else grid)
    return tuple(draw(st.permutations(found)))


def evaluation_of(folder: Path, family: str, *oracles: type[Oracle]) -> Oracle | None:
    """The first that is installed and loads the folder."""
    for oracle in oracles:
        with contextlib.suppress(SpecError, BadCheckpoint):
            return oracle(folder, family)
    return None


@pytest.mark.requirement("NUM-003")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tower_of_any_configuration_is_within_the_bound(
    subject: Subject,
    family: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> None:
    loads(subject, family, tmp_path / "each")
    options, numbers = request.config.option, iter(range(10**6))

    def judge(drawn: Configured, dtype: torch.dtype, pixels: torch.dtype) -> None:
        folder = checkpoint(tmp_path / str(next(numbers)), family=family, **drawn.sizes)
        weights = load_file(folder / "model.safetensors")
        rewrite_weights(folder, **{name: weight.to(dtype).float() for name, weight in weights.items()})
        single = dtype is torch.float32
        oracles = [Oracle, PlainOracle] if single else [PlainOracle, Oracle]
        theirs = evaluation_of(folder, family, *(oracles if drawn.square else [PlainOracle]))
        if drawn.published:
            rename_fields(publish(folder))
        try:
            tower = tower_of(subject.implementation, folder, HostPort(), dtype)
        except BadCheckpoint:
            return  # a family need not be loaded in all of its sizes
        if theirs is None:
            return
        call = call_of(tower, *drawn.grids)
        if pixels not in tower.spec.payload_dtypes:
            pixels = dtype
        call = replace(call, patches=call.patches.to(dtype).to(pixels))  # numbers that both have
        sigmas = [theirs.sigmas(call, TERMS[dtype], dtype)]
        if single:
            sigmas.append(theirs.sigmas(call, theirs.terms_of_itself))
        said = f"to float64, {dtype} from {pixels}"
        hold(record_property, said, outputs(tower(call)), theirs.run(theirs.exact, call), *sigmas)

    cases = share(CASES[options.profile], len(options.impl or DEFAULT_IMPLEMENTATIONS))
    draw_each(judge, cases, options.plumbline_seed, CONFIGURED[family], *[st.sampled_from(DTYPES)] * 2)
