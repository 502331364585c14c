"""The plain Qwen3-VL tower: how far it is from transformers and from float64, and whether its bits depend on company.

**The bound.** Nothing here is a tolerance that was tried until it passed. A dot product of K terms, summed in any order
with unit roundoff u, is the exact product of slightly different weights, each off by a relative error that grows like
sqrt(K) * u where roundings are independent (Higham and Mary 2019; the guaranteed bound grows like K * u). So a correct
float32 evaluation is the exact network with weights off by about that much, and the distance to expect is how far the
*oracle*, transformers in float64, moves when its weights are moved so. K is

- for a linear or convolution its inputs, which leaves room for the few roundings of what follows it (a residual sum,
  GELU, exp, the rotation); for queries, keys and values at least the longest segment, as long as the sums of attention;
- for a layer norm the size that is normalised; for a bias 1;
- for the table of positions its entries: places are rounded relative to the table's side, which is sqrt(K).

Each weight moves up or down by a fixed pattern. sigma is the root mean square of the movement over all patterns and all
numbers of an output. A float32 tower's error must have a root mean square within sigma, and nowhere exceed what a
normal distribution of that sigma exceeds once in 10^9 outputs. The distance of two float32 towers is the difference of
two such errors: sqrt(2) times as much. Transformers in float32 is held to it, too, which checks the bound on a program
that is not ours, and ``test_the_bound_is_exceeded_by`` shows that it is not empty.

The oracle rotates queries and keys and places patches in float32 even when it is in float64. That is a part of the
above, and by itself the bound for the plain tower in float64.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.certify import ROW_COUNTS, certify, join, same_bits
from plumbline.interface import Encoded, Modality, Packed, PackedItem
from plumbline.small_tower import checkpoint, values
from reference.towers.qwen3_vl import BadCheckpoint, Qwen3VLTower, load

U = 2.0**-24
COUNTS = tuple(count for count in ROW_COUNTS if count <= 1024)  # the rest takes seconds, and is for real towers
PATTERNS = 4
SIZES: dict[str, dict[str, Any]] = {
    "small": {},
    # Not multiples of a vector's length, so that vectorised code has a tail to treat; one deepstack level, deeper down.
    "uneven": {"depth": 4, "hidden_size": 80, "intermediate_size": 100, "deepstack_visual_indexes": [2]},
}
CALLS = {
    "tiny": [(1, 2, 2)],
    "wide": [(1, 4, 10)],
    "large": [(1, 10, 14)],
    "video": [(3, 4, 6)],
    "several": [(1, 4, 6), (1, 2, 2), (2, 6, 4), (1, 8, 8), (1, 2, 2), (5, 2, 4)],
}


pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module", params=SIZES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("tower"), **SIZES[request.param])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Oracle:
    return Oracle(folder)


def tower_of(folder: Path, dtype: torch.dtype = torch.float32) -> Qwen3VLTower:
    return load(folder, image_token_id=151655, video_token_id=151656, vocab_size=151936, dtype=dtype)


def call_of(*grids: tuple[int, int, int]) -> Packed:
    """Two items of one grid have different patches, so that one cannot stand in for the other."""
    calls = []
    for place, grid in enumerate(grids):
        count = math.prod(grid)
        segments = torch.arange(0, count + 1, grid[1] * grid[2])
        modality = Modality.VIDEO if grid[0] > 1 else Modality.IMAGE
        item = PackedItem(modality, grid, (count,), {})
        calls.append(Packed(values((count, 1536), f"{grid} {place}"), segments, (item,)))
    return join(calls)


def outputs(encoded: Encoded) -> list[Tensor]:
    return [encoded.rows, *encoded.side]


class Oracle:
    """transformers' tower from the same folder: in float64, in float32, and how far float32 may be from float64."""

    def __init__(self, folder: Path) -> None:
        self.exact, self.single = self.model(folder, torch.float64), self.model(folder, torch.float32)

    @staticmethod
    def model(folder: Path, dtype: torch.dtype, **changes: object) -> Any:
        transformers = pytest.importorskip("transformers")
        model, info = transformers.Qwen3VLVisionModel.from_pretrained(
            folder, dtype=dtype, attn_implementation="sdpa", output_loading_info=True, **changes
        )
        assert not any(info.values()), info  # a weight that was not found would have been drawn at random
        return model.requires_grad_(False)

    @staticmethod
    def run(model: Any, call: Packed, weights: dict[str, Tensor] | None = None) -> list[Tensor]:
        grids = torch.tensor([item.grid_thw for item in call.items])
        found = torch.func.functional_call(model, weights or {}, (call.patches.to(model.dtype),), {"grid_thw": grids})
        return [found.pooler_output, *found.deepstack_features]

    def sigmas(self, call: Packed, exact: list[Tensor], terms: Terms) -> list[float]:
        """For each output, the root mean square distance to expect (see the top of the file)."""
        longest = int(call.cu_seqlens.diff().max())
        squares = torch.zeros(len(exact), dtype=torch.float64)
        for pattern in range(PATTERNS):
            moved = {}
            for name, weight in self.exact.named_parameters():
                direction = values(weight.shape, f"{name} {pattern}").sign()
                moved[name] = weight * (1 + math.sqrt(terms(name, weight, longest)) * U * direction)
            for level, (there, here) in enumerate(zip(self.run(self.exact, call, moved), exact, strict=True)):
                squares[level] += (there - here).square().mean() / PATTERNS
        return squares.sqrt().tolist()


Terms = Callable[[str, Tensor, int], int]
"""(name, weight, longest segment) -> K, how many terms are added up with this weight."""


def terms_of_float32(name: str, weight: Tensor, longest: int) -> int:
    if "norm" in name or name == "pos_embed.weight":
        return len(weight)
    if name.endswith("bias"):
        return 1
    return max(weight[0].numel(), longest if "qkv" in name else 1)


def terms_of_the_oracle(name: str, weight: Tensor, longest: int) -> int:
    """What is float32 in its float64: the places, and four roundings of a rotation (the input, two products, a sum)."""
    return len(weight) if name == "pos_embed.weight" else 4 if "qkv" in name else 0


def distances(found: list[Tensor], exact: list[Tensor], sigmas: list[float]) -> Iterator[tuple[str, float, float]]:
    """For each output: a line with the distance in units of the last place (of its largest number), and the root mean
    square and the largest error as shares of what is allowed."""
    for level, (a, b, sigma) in enumerate(zip(found, exact, sigmas, strict=True)):
        assert a.shape == b.shape
        error = a.double() - b.double()
        rms, largest = error.square().mean().sqrt().item(), error.abs().max().item()
        ulp = 2.0 ** (math.frexp(b.abs().max().item())[1] - 24)
        factor = math.sqrt(2 * math.log(2 * error.numel() * 1e9))
        line = f"output {level}: rms {rms / ulp:.1f} ulp ({rms / sigma:.2f} sigma), largest {largest / ulp:.1f} ulp"
        yield line, rms / sigma, largest / (factor * sigma)


Record = Callable[[str, object], None]


def hold(found: list[Tensor], exact: list[Tensor], sigmas: list[float], record_property: Record, what: str) -> None:
    for line, rms, largest in distances(found, exact, sigmas):
        record_property(what, line)
        print(what, line)
        assert rms <= 1, line
        assert largest <= 1, line


# ------------------------------------------------------------------------------------------------------------ distance


@pytest.mark.requirement("NUM-002")
@pytest.mark.requirement("NUM-003")
@pytest.mark.parametrize("name", CALLS)
def test_distances_are_within_the_bound(folder: Path, oracle: Oracle, name: str, record_property: Record) -> None:
    call = call_of(*CALLS[name])
    exact, theirs = oracle.run(oracle.exact, call), oracle.run(oracle.single, call)
    plain = outputs(tower_of(folder)(call))
    sigmas = oracle.sigmas(call, exact, terms_of_float32)
    hold(plain, exact, sigmas, record_property, "plain float32 to float64")
    hold(theirs, exact, sigmas, record_property, "transformers float32 to float64")
    hold(plain, theirs, [math.sqrt(2) * sigma for sigma in sigmas], record_property, "plain to transformers, float32")


@pytest.mark.requirement("NUM-003")
def test_in_float64_only_the_float32_of_the_oracle_is_left(
    folder: Path, oracle: Oracle, record_property: Record
) -> None:
    call = call_of(*CALLS["several"])
    exact = oracle.run(oracle.exact, call)
    plain = outputs(tower_of(folder, torch.float64)(call))
    sigmas = oracle.sigmas(call, exact, terms_of_the_oracle)
    hold(plain, exact, sigmas, record_property, "plain float64 to transformers float64")


@pytest.mark.requirement("NUM-002")
@pytest.mark.requirement("NUM-003")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"hidden_act": "gelu"}, id="the other GELU"),
        pytest.param({"rope_parameters": {"rope_type": "axial", "rope_theta": 9000.0}}, id="another rotation"),
        pytest.param({}, id="one bias in bfloat16"),
    ],
)
def test_the_bound_is_exceeded_by(folder: Path, oracle: Oracle, change: dict[str, object]) -> None:
    call = call_of(*CALLS["several"])
    exact = oracle.run(oracle.exact, call)
    other, name = oracle.model(folder, torch.float64, **change), "blocks.0.attn.proj.bias"
    weights = {} if change else {name: oracle.exact.get_parameter(name).bfloat16().double()}
    wrong = oracle.run(other, call, weights)
    for line, rms, largest in distances(wrong, exact, oracle.sigmas(call, exact, terms_of_float32)):
        assert rms > math.sqrt(2), line
        assert largest > math.sqrt(2), line


# ---------------------------------------------------------------------------------------------------------- invariance


def changed(tower: Qwen3VLTower, grids: list[tuple[int, int, int]]) -> list[int]:
    """Places in ``grids`` whose item has other bits in one call of all than alone."""
    call = call_of(*grids)
    together, found, patch, row = outputs(tower(call)), [], 0, 0
    for place, item in enumerate(call.items):
        assert item.grid_thw is not None
        t, h, w = item.grid_thw
        alone = tower(Packed(call.patches[patch : patch + t * h * w], torch.arange(0, t * h * w + 1, h * w), (item,)))
        end = row + t * h * w // 4
        if not all(same_bits(a, b[row:end]) for a, b in zip(outputs(alone), together, strict=True)):
            found.append(place)
        patch, row = patch + t * h * w, end
    assert row == len(together[0])
    return found


@pytest.mark.requirement("NUM-001")
@pytest.mark.parametrize(("dtype", "threads"), [(torch.float32, 1), (torch.float32, 2), (torch.bfloat16, 1)], ids=str)
def test_a_certified_tower_gives_the_same_bits_in_any_company(folder: Path, dtype: torch.dtype, threads: int) -> None:
    torch.set_num_threads(threads)
    try:
        tower = tower_of(folder, dtype)
        certificate = certify(tower, COUNTS)
        certificate.check(tower)
        print(f"{dtype}, {threads} threads: row floor {certificate.row_floor}")
        grids = [*CALLS["several"], (1, 2, 6), (1, 10, 14), (1, 6, 6), (7, 2, 2)]
        assert changed(tower, grids) == []
        assert changed(tower, grids[::-1]) == []
    finally:
        torch.set_num_threads(1)


@pytest.mark.requirement("NUM-001")
def test_without_the_floor_bits_depend_on_company(small: Path) -> None:
    """What the floor is for. A machine on which every row count agrees has nothing to show, and says so."""
    tower = tower_of(small)
    certificate = certify(tower, COUNTS)
    merger = 4 * tower.config.hidden_size
    counts = [count for _, inputs, count in certificate.differing if inputs == merger]
    if not counts:
        pytest.skip("here the rows of a merger have the same bits among any number of rows")
    lonely = (1, 2, 2 * max(counts))
    assert changed(tower, [lonely, (1, 10, 14)]) == []
    tower.row_floor = 1
    assert 0 in changed(tower, [lonely, (1, 10, 14)])


# --------------------------------------------------------------------------------------------------- loading and shape


def test_a_full_checkpoint_gives_the_same_tower(small: Path, tmp_path: Path) -> None:
    call = call_of((1, 4, 6))
    expected = outputs(tower_of(small)(call))
    for prefix in ("model.visual.", "visual."):
        full = checkpoint(tmp_path / prefix, prefix=prefix)
        save_file({"model.language_model.norm.weight": torch.ones(3)}, full / "more.safetensors")
        assert all(same_bits(a, b) for a, b in zip(outputs(tower_of(full)(call)), expected, strict=True))


def rewrite_config(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({name: value for name, value in raw.items() if value is not None}))


def rewrite_weights(folder: Path, **changes: Tensor | None) -> None:
    raw = load_file(folder / "model.safetensors") | changes
    save_file({name: value for name, value in raw.items() if value is not None}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json: cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), "config.json: cannot be read"),
        (lambda f: rewrite_config(f, depth=None), "config.json: no depth"),
        (lambda f: rewrite_config(f, hidden_act="gelu"), "hidden_act must be"),
        (lambda f: rewrite_config(f, num_heads=5), "hidden_size must be"),
        (lambda f: rewrite_config(f, num_position_embeddings=65), "num_position_embeddings must be"),
        (lambda f: rewrite_config(f, deepstack_visual_indexes=[0, 3]), "deepstack_visual_indexes must be"),
        (lambda f: rewrite_config(f, depth=4), "12 weights missing: blocks.3.attn.proj.bias"),
        (lambda f: rewrite_config(f, depth=2), "12 weights unexpected: blocks.2.attn.proj.bias"),
        (lambda f: rewrite_config(f, out_hidden_size=40), r"merger.*: shape \(48,.*expected \(40,"),
        (lambda f: rewrite_weights(f, **{"merger.norm.bias": None}), "1 weights missing: merger.norm.bias"),
        (lambda f: rewrite_weights(f, stray=torch.ones(2)), "1 weights unexpected: stray"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "cannot be read"),
        (lambda f: (f / "model.safetensors").unlink(), "57 weights missing"),
    ],
)
def test_a_bad_checkpoint_is_named(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = checkpoint(tmp_path)
    damage(folder)
    with pytest.raises(BadCheckpoint, match=message):
        tower_of(folder)


def test_the_specification_follows_the_checkpoint(small: Path) -> None:
    tower = tower_of(small)
    layout = tower.spec.layouts[Modality.VIDEO]
    assert (layout.placeholder_id, layout.patch_shape, layout.merge) == (151656, (3 * 2 * 16 * 16,), 2)
    assert (tower.spec.hidden_size, tower.spec.side_levels, tower.spec.vocab_size) == (48, 2, 151936)
