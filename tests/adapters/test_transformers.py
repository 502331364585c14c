"""transformers' own towers behind the interface: the same bits as called directly, and what batching does to them.

Whether an item's rows have the same bits alone and in company depends on tower, dtype, attention and machine, so it is
measured and recorded (a test's properties, in ``--junitxml``), not asserted. What is asserted is how far apart they may be.

**The bound** is that of ``plumbline.oracle``, where it is derived: a correct evaluation is the exact
network with each weight off by about sqrt(K) * u, and how far that moves the output is measured with transformers in
float64. A batch and its items alone are two such evaluations, so they may be sqrt(2) times as far apart. In float32, K
is the number of terms that are added up with the weight. In bfloat16 the sums are kept in float32 and what is rounded
are values between one sum and the next: K is five, for those between queries and their mix of values (the product with
the weight, the rotation, the scores, their shares, the mix), and nowhere else are there more.
"""

from __future__ import annotations

import copy
import json
import math
import random
import textwrap
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from plumbline.certify import join, same_bits
from plumbline.interface import BadCheckpoint, Budgets, Encoded, Item, Layout, Modality, Packed, Source
from plumbline.oracle import is_norm, terms_of_float32
from plumbline.resolve import resolve
from plumbline.rig import build_rig
from plumbline.small_tower import FAMILIES, checkpoint, values
from tests.numerics.towers import call_of, items_of, outputs, rewrite_config

transformers = pytest.importorskip("transformers")
adapter = pytest.importorskip("adapters.transformers")

BATCHES = 12
PATTERNS = 4
IDS = {"image_token_id": 61, "video_token_id": 62, "vocab_size": 64}
KINDS = ("qwen2_vl", *FAMILIES)
QWEN2_VL = {"depth": 3, "embed_dim": 64, "hidden_size": 48, "num_heads": 4, "mlp_ratio": 2}

GRIDS = [(1, 4, 6), (1, 2, 2), (2, 4, 4), (1, 8, 6), (1, 2, 10)]

Record = Callable[[str, object], None]
Grid = tuple[int, int, int]


pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint of each kind. Qwen2-VL's is written by transformers, and its weights keep their input's variance."""
    config = transformers.AutoConfig.for_model("qwen2_vl_vision", **QWEN2_VL)
    model = adapter.model_class(config.model_type)(config)
    for name, weight in model.named_parameters():
        pattern = values(weight.shape, name)
        if is_norm(name):
            weight.data = 0.1 * pattern + (1 if name.endswith("weight") else 0)
        else:
            weight.data = pattern * (math.sqrt(3 / weight[0].numel()) if weight.ndim > 1 else 0.1)
    found = {"qwen2_vl": tmp_path_factory.mktemp("qwen2_vl")}
    model.save_pretrained(found["qwen2_vl"])
    return found | {kind: checkpoint(tmp_path_factory.mktemp(kind), family=kind) for kind in FAMILIES}


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    found: torch.dtype = request.param
    return found


@pytest.fixture(params=["sdpa", "eager"])
def attention(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def own_model(folder: Path, dtype: torch.dtype, attention: str = "sdpa") -> Any:
    """transformers' tower, without the adapter."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model = adapter.model_class(config.model_type).from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    return model.requires_grad_(False)


def run(model: Any, calls: Sequence[Packed]) -> list[Tensor]:
    """All in one call of transformers' tower, which gets no segments but finds them itself: rows, then side rows.

    Kimi-K2.5's takes clips together as long as they have the same number of frames.
    """
    grids = torch.tensor([call.items[0].grid_thw for call in calls])
    patches = torch.cat([call.patches for call in calls]).to(model.dtype)
    if model.config.model_type == "kimi_k25":
        runs = [len(list(run)) for _, run in groupby(grids[:, 0].tolist())]
        parts = torch.split(patches, [int(part.prod(1).sum()) for part in grids.split(runs)])
        pooled = [
            model.vision_tower(x, grid_thw=g).pooler_output for x, g in zip(parts, grids.split(runs), strict=True)
        ]
        return [torch.cat([model.mm_projector(part).squeeze(1) for part in pooled])]
    found = model(patches, grid_thw=grids)
    return [found.pooler_output, *getattr(found, "deepstack_features", ())]


def generate(draw: random.Random, tower: Any) -> list[Packed]:
    """Two to six items of 1 to 72 rows, small ones more often than large ones, and some of several frames."""
    grids = []
    for _ in range(draw.randint(2, 6)):
        high = draw.choice([1, 2, 3, 6])
        grids.append((draw.choice([1, 1, 1, 2]), 2 * draw.randint(1, high), 2 * draw.randint(1, high)))
    return items_of(tower, grids)


def encode(implementation: str, tower: Any, calls: Sequence[Packed]) -> tuple[list[Encoded], list[int]]:
    """What an implementation's encoder makes of the items, and how many of them each of its tower calls had."""
    items = [
        Item(call.items[0].modality, Source.PIXELS, call.patches, (), torch.tensor([call.items[0].grid_thw]))
        for call in calls
    ]
    rig = build_rig(resolve(implementation).implementation, tower, tower.spec, Budgets(0, 10_000, 10_000))
    results = []
    for result in rig.encoder.encode(items):
        assert isinstance(result, Encoded), result
        results.append(result)
    return results, [len(call.items) for call in rig.tower.calls]


def rows_of(tower: Any, calls: Sequence[Packed]) -> list[int]:
    grids = [call.items[0].grid_thw for call in calls]
    pools = tower.spec.layouts[Modality.VIDEO].pools_frames
    return [(1 if pools else frames) * height * width // 4 for frames, height, width in grids]


def draw_for(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{request.config.option.plumbline_seed} {request.node.name}")


# ------------------------------------------------------------------------------------------------- what the adapter does


def test_rows_are_those_of_transformers_called_directly(
    folders: dict[str, Path], kind: str, dtype: torch.dtype, attention: str, request: pytest.FixtureRequest
) -> None:
    """Bit for bit: each item alone, and all of a batch in one call."""
    tower = adapter.load(folders[kind], dtype=dtype, attention=attention, **IDS)
    model = own_model(folders[kind], dtype, attention)
    draw = draw_for(request)
    for _ in range(BATCHES):
        calls = generate(draw, tower)
        for some in (*([call] for call in calls), calls):
            for got, want in zip(outputs(tower(join(some))), run(model, some), strict=True):
                assert got.shape == (sum(rows_of(tower, some)), tower.spec.hidden_size)
                assert same_bits(got, want), [call.items for call in some]


def test_the_reference_s_encoder_calls_it_for_each_item_alone(folders: dict[str, Path], kind: str) -> None:
    tower, model = adapter.load(folders[kind], **IDS), own_model(folders[kind], torch.float32)
    calls = items_of(tower, GRIDS)
    encoded, made = encode("reference", tower, calls)
    assert made == [1] * len(calls)
    for call, found in zip(calls, encoded, strict=True):
        assert all(same_bits(a, b) for a, b in zip(outputs(found), run(model, [call]), strict=True))


def test_the_specification_follows_the_checkpoint(folders: dict[str, Path], kind: str) -> None:
    tower = adapter.load(folders[kind], **IDS)
    layout = tower.spec.layouts[Modality.VIDEO]
    patch_shape = {"qwen3_vl": (3 * 2 * 16 * 16,), "kimi_k25": (3, 14, 14)}.get(kind, (3 * 2 * 14 * 14,))
    assert layout == Layout(62, patch_shape, has_grid=True, merge=2, pools_frames=kind == "kimi_k25")
    assert (tower.spec.hidden_size, tower.spec.vocab_size) == (48, 64)
    assert tower.spec.side_levels == (2 if kind == "qwen3_vl" else 0)


@pytest.mark.parametrize(
    ("kind", "prefix"), [("qwen3_vl", "model.visual."), ("qwen3_vl", "visual."), ("kimi_k25", "model.")]
)
def test_a_whole_model_s_checkpoint_gives_the_same_tower(tmp_path: Path, kind: str, prefix: str) -> None:
    alone = adapter.load(checkpoint(tmp_path / "alone", family=kind), **IDS)
    folder = checkpoint(tmp_path / "whole", prefix, kind)
    save_file({"model.language_model.norm.weight": torch.ones(3)}, folder / "more.safetensors", {"format": "pt"})
    whole = adapter.load(folder, **IDS)
    call = call_of(alone, (1, 4, 6), (3, 4, 4))
    assert all(same_bits(a, b) for a, b in zip(outputs(alone(call)), outputs(whole(call)), strict=True))


@pytest.mark.parametrize(
    ("kind", "prefix", "change", "message"),
    [
        *(
            ("qwen3_vl", prefix, change, message)
            for prefix in ("", "model.visual.")
            for change, message in (
                ({"depth": 4}, "12 weights missing: blocks.3.attn.proj.bias"),
                ({"depth": 2}, "12 weights unexpected: blocks.2.attn.proj.bias"),
                ({"out_hidden_size": 40}, "cannot be loaded"),
            )
        ),
        ("kimi_k25", "model.", {"num_hidden_layers": 4}, "16 weights missing: vision_tower.layers.3.attn.k_proj.bias"),
        ("kimi_k25", "", {"num_hidden_layers": 2}, "16 weights unexpected: vision_tower.layers.2.attn.k_proj.bias"),
        ("kimi_k25", "", {"intermediate_size": 40}, "cannot be loaded"),
    ],
)
def test_a_bad_checkpoint_is_named(
    tmp_path: Path, kind: str, prefix: str, change: dict[str, object], message: str
) -> None:
    folder = checkpoint(tmp_path, prefix, kind)
    rewrite_config(folder, **change)
    with pytest.raises(BadCheckpoint, match=message):
        adapter.load(folder, **IDS)


@pytest.mark.parametrize("kind", ["siglip_vision_model", "siglip"])
def test_a_tower_of_another_kind_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(BadCheckpoint, match="model_type siglip_vision_model, not one of qwen2_vl_vision"):
        adapter.load(tmp_path, **IDS)


def test_a_folder_without_a_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="cannot be loaded"):
        adapter.load(tmp_path, **IDS)


# ------------------------------------------------------------------------------------------------- what batching does


class Bound:
    """How far two correct evaluations may be apart (see the top of the file)."""

    def __init__(self, tower: Any) -> None:
        self.tower, self.dtype = tower, tower.model.dtype
        self.exact = copy.deepcopy(tower.model).double()

    def roundoff(self, name: str, weight: Tensor, longest: int) -> float:
        if self.dtype == torch.bfloat16:
            return math.sqrt(5) * 2.0**-8
        return math.sqrt(terms_of_float32(name, weight, longest)) * 2.0**-24

    def sigmas(self, calls: Sequence[Packed]) -> list[list[float]]:
        """For each output, and in it for each item, the root mean square distance of an evaluation to the exact one."""
        longest = max(int(call.cu_seqlens.diff().max()) for call in calls)
        exact = run(self.exact, calls)
        squares = [torch.zeros_like(level) for level in exact]
        for pattern in range(PATTERNS):
            moved = copy.deepcopy(self.exact)
            for name, weight in moved.named_parameters():
                weight *= 1 + self.roundoff(name, weight, longest) * values(weight.shape, f"{name} {pattern}").sign()
            for level, there, here in zip(squares, run(moved, calls), exact, strict=True):
                level += (there - here).square() / PATTERNS
        parts = [torch.split(level, rows_of(self.tower, calls)) for level in squares]
        return [[part.mean().sqrt().item() for part in level] for level in parts]


def shares_of_the_bound(a: Tensor, b: Tensor, sigma: float) -> tuple[float, float]:
    """Root mean square and largest distance of two evaluations of an output, as shares of what is allowed."""
    error = a.double() - b.double()
    factor = math.sqrt(2 * math.log(2 * error.numel() * 1e9))
    return (
        error.square().mean().sqrt().item() / (math.sqrt(2) * sigma),
        error.abs().max().item() / (math.sqrt(2) * factor * sigma),
    )


def ulps(a: Tensor, b: Tensor) -> float:
    """The largest distance, in units of the last place of the largest number."""
    digits = -math.log2(torch.finfo(a.dtype).eps) + 1
    place: float = 2.0 ** (math.frexp(a.abs().max().item())[1] - digits)
    return (a.double() - b.double()).abs().max().item() / place


def test_an_item_alone_and_in_company_are_within_the_bound(
    folders: dict[str, Path],
    kind: str,
    dtype: torch.dtype,
    attention: str,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> None:
    tower = adapter.load(folders[kind], dtype=dtype, attention=attention, **IDS)
    bound, draw = Bound(tower), draw_for(request)
    seen, changed, furthest = [], [], 0.0
    for _ in range(BATCHES):
        calls = generate(draw, tower)
        sigmas, counts = bound.sigmas(calls), rows_of(tower, calls)
        together = [torch.split(level, counts) for level in outputs(tower(join(calls)))]
        for place, call in enumerate(calls):
            pairs = [(alone, level[place]) for alone, level in zip(outputs(tower(call)), together, strict=True)]
            for (a, b), level in zip(pairs, sigmas, strict=True):
                rms, largest = shares_of_the_bound(a, b, level[place])
                assert rms <= 1, f"{call.items[0]} among {counts}: {rms} of the root mean square"
                assert largest <= 1, f"{call.items[0]} among {counts}: {largest} of the largest"
                furthest = max(furthest, ulps(a, b))
            seen.append(counts[place])
            if not all(same_bits(a, b) for a, b in pairs):
                changed.append(counts[place])
    record_property("items with other bits in company", f"{len(changed)} of {len(seen)}")
    record_property("their rows", sorted(set(changed)))
    record_property("furthest, in ulp", round(furthest, 1))
    print(f"{len(changed)} of {len(seen)} items changed; rows {sorted(set(changed))}; furthest {furthest:.1f} ulp")


def test_an_encoder_that_batches_is_within_the_bound_of_one_that_does_not(folders: dict[str, Path], kind: str) -> None:
    """What NUM-005 can be without a certificate: one call of all items, against the reference's call for each."""
    tower = adapter.load(folders[kind], **IDS)
    calls = items_of(tower, GRIDS)
    (wanted, _), (got, made) = encode("reference", tower, calls), encode("optimized", tower, calls)
    assert made == [len(calls)]
    for level, sigmas in enumerate(Bound(tower).sigmas(calls)):
        for place, (a, b) in enumerate(zip(wanted, got, strict=True)):
            assert max(shares_of_the_bound(outputs(a)[level], outputs(b)[level], sigmas[place])) <= 1


def test_the_bound_is_exceeded_where_items_see_each_other(
    folders: dict[str, Path], kind: str, dtype: torch.dtype
) -> None:
    """One segment for the whole call, which the packing can ask for: both items have rows that the bound refuses."""
    tower = adapter.load(folders[kind], dtype=dtype, **IDS)
    calls = items_of(tower, [(1, 4, 6), (1, 8, 4)])
    sigmas, counts = Bound(tower).sigmas(calls), rows_of(tower, calls)
    packed = join(calls)
    wrong = outputs(tower(Packed(packed.patches, packed.cu_seqlens[[0, -1]], packed.items)))
    for place, call in enumerate(calls):
        shares = [
            max(shares_of_the_bound(alone, torch.split(level, counts)[place], sigma[place]))
            for alone, level, sigma in zip(outputs(tower(call)), wrong, sigmas, strict=True)
        ]
        assert max(shares) > 1, shares


@pytest.mark.requirement("NUM-001")
def test_the_question_of_the_docstring_can_be_asked(
    folders: dict[str, Path], kind: str, capsys: pytest.CaptureFixture[str], record_property: Record
) -> None:
    """As it stands there, and of a tower that certainly fails it."""
    lines = adapter.__doc__.splitlines()
    first = next(place for place, line in enumerate(lines) if "import changed_in_company" in line)
    code = textwrap.dedent("\n".join(lines[first : lines.index("", first)]))
    tower = adapter.load(folders[kind], **IDS)
    exec(code, {"tower": tower})
    answer = capsys.readouterr().out
    assert answer.startswith(f"{tower.spec.name}: ")
    record_property("float32, sdpa", answer.strip())

    blocks = tower.model.vision_tower.layers if kind == "kimi_k25" else tower.model.blocks
    blocks[0].register_forward_hook(lambda _block, _given, x: x + x.abs().max())
    exec(code, {"tower": tower})
    assert "(1, 2, 2)" in capsys.readouterr().out
