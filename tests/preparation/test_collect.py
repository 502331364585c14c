"""The output of a Hugging Face processor as a request: generated outputs, malformed ones, and a real processor's."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from torch import Tensor

from plumbline import closed_form
from plumbline.bench import Violation
from plumbline.collected import NAMES, Processed, as_processed, judge_collected, output_of
from plumbline.exact import exact_spec
from plumbline.interface import (
    BadGrid,
    BadPayload,
    BadTokens,
    Capability,
    Layout,
    Modality,
    PlumblineError,
    Prepared,
    RowCountMismatch,
    TowerSpec,
)
from plumbline.parts import claimed, image, rig_of
from plumbline.resolve import Subject
from plumbline.scenario import VOCABULARY, Content, ItemRecipe, RequestRecipe, Scenario, TowerRecipe
from plumbline.strategies import scenarios

CPU = torch.device("cpu")
CASES = {"quick": 60, "tests": 100, "default": 200, "thorough": 3000, "mutant": 150}
"""Drawn scenarios, by profile; each of their requests is an output."""

VIDEO = ItemRecipe("video", grid=(2, 2, 2), parts=(8,), content=Content(3))
BASES = {
    "images": (TowerRecipe(), (image(1), image(2, 6))),
    "videos": (TowerRecipe(merge=2), (VIDEO, VIDEO)),
    "both": (TowerRecipe(placeholder_beyond_vocabulary=True), (image(1), VIDEO, image(2))),
    "pooled": (TowerRecipe(merge=2, pools_frames=True), (VIDEO,)),
}


@pytest.mark.requirement("PREP-017", "PREP-018", "PREP-020", "PREP-023")
def test_generated_outputs_become_requests(
    subject: Subject, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    options, implementation = request.config.option, subject.implementation

    def check(scenario: Scenario) -> None:
        found: list[Violation] = []
        assert implementation.collect
        collect = implementation.collect(exact_spec(scenario.tower))
        for one in scenario.requests:
            for gaps in {one.gaps, one.gaps[::-1]}:  # an id again, with as many tokens elsewhere
                output = dataclasses.replace(as_processed(one), name="r", gaps=gaps)
                found += judge_collected(scenario.tower, output, implementation, CPU, collect).violations
        for violation in found:
            record_property("broken", violation.requirement)
        assert not found, "\n".join(f"{v.requirement}: {v.message}" for v in found)

    configured = settings(
        max_examples=CASES[options.profile], database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    configured(seed(options.plumbline_seed)(given(scenarios(implementation.capabilities))(check)))()


@pytest.mark.requirement("PREP-017", "PREP-018")
@pytest.mark.parametrize("base", BASES)
def test_what_was_collected_is_prepared_image_by_image(subject: Subject, base: str) -> None:
    tower, items = BASES[base]
    if base != "images":
        claimed(subject, Capability.VIDEO)
    recipe = RequestRecipe("r", items, gaps=(2, 0, 1))
    assert subject.implementation.collect
    request = subject.implementation.collect(exact_spec(tower))("r", *output_of(tower, recipe, CPU))
    prepared = rig_of(subject.implementation, tower).prepare([request])[0]
    assert isinstance(prepared, Prepared), prepared
    for modality in Modality:
        got = [item for item in prepared.items if item.modality is modality]
        wanted = [item.grid for item in items if item.modality == modality.value]
        assert [tuple(item.grid_thw[0].tolist()) for item in got if item.grid_thw is not None] == wanted


@pytest.mark.requirement("PREP-017", "PREP-023")
@pytest.mark.parametrize("merge", [1, 2])
def test_a_placeholder_of_both_modalities_serves_either_alone(
    subject: Subject, merge: int, record_property: pytest.RecordProperty
) -> None:
    claimed(subject, Capability.VIDEO)
    tower = TowerRecipe(merge=merge, shared_placeholder=True)
    still = ItemRecipe(grid=(1, 2, 2), parts=(4,), content=Content(1))
    for items in ((still,), (VIDEO,), (still, VIDEO), (VIDEO, still, VIDEO)):
        found = judge_collected(tower, RequestRecipe("r", items), subject.implementation, CPU).violations
        for violation in found:
            record_property("broken", violation.requirement)
        assert not found, [item.modality for item in items]


# --------------------------------------------------------------------------------------------------- malformed outputs

Fault = Callable[[Tensor, Processed, str, str, int], tuple[Tensor, Processed]]
"""From token ids, output, the names of a payload and its grid, and their placeholder."""


def grid_as(change: Callable[[Tensor], Tensor]) -> Fault:
    return lambda ids, output, payload, grid, placeholder: (ids, {**output, grid: change(output[grid])})


def with_height(height: int) -> Fault:
    return grid_as(lambda g: torch.cat([g[:-1], torch.tensor([[g[-1, 0], height, g[-1, 2]]])]))


def without(*which: int) -> Fault:
    """0: the payload, 1: the grid."""

    def fault(ids: Tensor, output: Processed, payload: str, grid: str, placeholder: int) -> tuple[Tensor, Processed]:
        gone = [(payload, grid)[k] for k in which]
        return ids, {name: value for name, value in output.items() if name not in gone}

    return fault


def under_another_name(
    ids: Tensor, output: Processed, payload: str, grid: str, placeholder: int
) -> tuple[Tensor, Processed]:
    return ids, {"grid_thws" if name == grid else name: value for name, value in output.items()}


def ids_as(change: Callable[[Tensor, int], Tensor]) -> Fault:
    return lambda ids, output, payload, grid, placeholder: (change(ids, placeholder), output)


def less_one(ids: Tensor, placeholder: int) -> Tensor:
    changed = ids.clone()
    changed[(ids == placeholder).nonzero()[-1]] = 0
    return changed


def with_token(token: int) -> Callable[[Tensor, int], Tensor]:
    return lambda ids, placeholder: torch.cat([ids, torch.tensor([token])])


def payload_as(change: Callable[[Tensor], object]) -> Fault:
    return lambda ids, output, payload, grid, placeholder: (ids, {**output, payload: change(output[payload])})  # type: ignore[dict-item]


FAULTS: dict[str, tuple[str, type[PlumblineError], Fault]] = {
    "grid missing": ("PREP-021", BadGrid, without(1)),
    "grid under another name": ("PREP-021", BadGrid, under_another_name),
    "payload missing": ("PREP-021", BadGrid, without(0)),
    "grid of floats": ("PREP-021", BadGrid, grid_as(lambda g: g.to(torch.float32))),
    "grid of int32": ("PREP-021", BadGrid, grid_as(lambda g: g.to(torch.int32))),
    "grid of one image, flat": ("PREP-021", BadGrid, grid_as(lambda g: g[0])),
    "grid without frames": ("PREP-021", BadGrid, grid_as(lambda g: g[:, 1:])),
    "grid of no images": ("PREP-021", BadGrid, grid_as(lambda g: g[:0])),
    "grid on the meta device": ("PREP-021", BadGrid, grid_as(lambda g: g.to("meta"))),
    "grid in a list": ("PREP-021", BadGrid, grid_as(lambda g: g.tolist())),
    "height of zero": ("PREP-021", BadGrid, with_height(0)),
    "height below zero": ("PREP-021", BadGrid, with_height(-2)),
    "height whose product wraps": ("PREP-021", BadGrid, with_height(2**63 - 2)),
    "height beyond 2^31": ("PREP-021", BadGrid, with_height(2**31 + 2)),
    "neither payload nor grid": ("PREP-022", RowCountMismatch, without(0, 1)),
    "one placeholder too few": ("PREP-022", RowCountMismatch, ids_as(less_one)),
    "one placeholder too many": ("PREP-022", RowCountMismatch, ids_as(lambda i, p: torch.cat([i, torch.tensor([p])]))),
    "one grid too many": ("PREP-022", RowCountMismatch, grid_as(lambda g: torch.cat([g, g[-1:]]))),
    "more grids than memory": ("PREP-022", RowCountMismatch, grid_as(lambda g: g[:1].expand(2**40, 3))),
    "tokens of floats": ("PREP-014", BadTokens, ids_as(lambda i, p: i.to(torch.float32))),
    "tokens of a batch": ("PREP-014", BadTokens, ids_as(lambda i, p: i[None])),
    "no tokens": ("PREP-014", BadTokens, ids_as(lambda i, p: i[:0])),
    "token at the end of the vocabulary": ("PREP-014", BadTokens, ids_as(with_token(VOCABULARY))),
    "negative token": ("PREP-014", BadTokens, ids_as(with_token(-1))),
    "payload in a list": ("PREP-008", BadPayload, payload_as(lambda p: p.tolist())),
    "sparse payload": ("PREP-008", BadPayload, payload_as(lambda p: p.to_sparse())),
}


@pytest.mark.requirement("PREP-008", "PREP-014", "PREP-021", "PREP-022", "ISO-003")
@pytest.mark.parametrize("name", FAULTS)
def test_a_malformed_output_is_refused_with_its_error(
    subject: Subject, name: str, record_property: pytest.RecordProperty
) -> None:
    requirement, expected, fault = FAULTS[name]
    for base, (tower, items) in BASES.items():
        if base != "images" and Capability.VIDEO not in subject.implementation.capabilities:
            continue
        ids, output = output_of(tower, RequestRecipe("r", items), CPU)
        modality = items[-1].modality
        ids, output = fault(ids, output, *NAMES[modality], closed_form.placeholder_id(tower, modality))
        assert subject.implementation.collect
        try:
            got: object = subject.implementation.collect(exact_spec(tower))("r", ids, output)
        except Exception as error:
            got = error
        right = isinstance(got, expected) and bool(got.what and got.where and got.hint)
        if not right:
            record_property("broken", requirement)
        assert right, f"{base}, {name}: {got!r}"


# -------------------------------------------------------------------------------------------------- a real processor's

WORDS = ["text", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|media_pad|>"]
PIXELS = [(64, 96), (96, 64), (32, 32)]
"""Height and width of each image. A patch is 16 pixels wide, and a row is 2 x 2 of them."""


def tokens_of(text: str) -> Tensor:
    """Each known word its own id, and anything between two of them one text id."""
    pieces = re.split("(" + "|".join(map(re.escape, WORDS[1:])) + ")", text)
    return torch.tensor([WORDS.index(piece) if piece in WORDS else 0 for piece in pieces if piece])


def processor_spec(merge: int, video: str, patch_shape: tuple[int, ...], pools_frames: bool) -> TowerSpec:
    layouts = {
        modality: Layout(WORDS.index(word), patch_shape, True, merge, pools_frames=pools_frames)
        for modality, word in ((Modality.IMAGE, "<|image_pad|>"), (Modality.VIDEO, video))
    }
    return TowerSpec("processed", 8, 0, len(WORDS), torch.float32, frozenset({torch.float32}), layouts)


@pytest.mark.requirement("PREP-017", "PREP-018")
def test_images_through_hugging_face_s_processor(subject: Subject) -> None:
    """The real image processor's patches, in a prompt that the real processor's own method expanded."""
    transformers: Any = pytest.importorskip("transformers")
    images = [torch.full((3, *size), 100 * k, dtype=torch.uint8).numpy() for k, size in enumerate(PIXELS)]
    process = transformers.Qwen2VLImageProcessorPil(
        patch_size=16, temporal_patch_size=2, merge_size=2, size={"shortest_edge": 1024, "longest_edge": 2**20}
    )
    output = process(images, return_tensors="pt")
    expand = partial(
        transformers.Qwen3VLProcessor.replace_image_token,
        SimpleNamespace(image_processor=process, image_token="<|image_pad|>"),
    )
    pads = [expand(output, k) for k in range(len(images))]
    ids = tokens_of(f"text{pads[0]}<|vision_end|>{pads[1]}{pads[2]}text")
    assert subject.implementation.collect
    spec = processor_spec(2, "<|video_pad|>", (3 * 2 * 16 * 16,), pools_frames=False)
    (item,) = subject.implementation.collect(spec)("r", ids, output).items
    rows = [h // 32 * (w // 32) for h, w in PIXELS]
    assert [hi - lo for lo, hi in item.spans] == rows
    assert all((ids[lo:hi] == WORDS.index("<|image_pad|>")).all() for lo, hi in item.spans)
    assert item.payload is output["pixel_values"]


@pytest.mark.requirement("PREP-018")
@pytest.mark.parametrize("family", ["Qwen2_5_VL", "Qwen3VL", "Kimi_K25"])
def test_videos_in_prompts_that_hugging_face_s_processors_expand(subject: Subject, family: str) -> None:
    """One span for each video, for each of its frames after a timestamp, or for each chunk of frames with shared rows."""
    claimed(subject, Capability.VIDEO)
    transformers: Any = pytest.importorskip("transformers")
    named = getattr(transformers, f"{family}Processor", None)
    if not hasattr(named, "replace_video_token"):
        pytest.skip(f"this version expands no prompts of {family} by itself")
    pooled = family == "Kimi_K25"
    word = "<|media_pad|>" if pooled else "<|video_pad|>"
    grids = torch.tensor([[4, 4, 4], [1, 4, 4], [4, 2, 6]] if pooled else [[2, 4, 4], [3, 2, 6]])
    chunks = [2, 1] if pooled else [1, 1]
    clips = [SimpleNamespace(fps=2.0, frames_indices=list(range(8)), timestamps=[0.5 * k for k in range(8)])] * 2
    output = {
        "pixel_values_videos": torch.zeros(int(grids.prod(1).sum()), 12),
        "video_grid_thw": grids,
        "num_chunks_per_video": chunks,
        "video_metadata": clips,
    }
    own = SimpleNamespace(
        video_processor=SimpleNamespace(merge_size=2, temporal_patch_size=4 if pooled else 2),
        image_processor=SimpleNamespace(merge_size=2),
        video_token=word,
        image_token=word,
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        _calculate_timestamps=lambda *_: [0.5, 1.5, 2.5, 3.5],
    )
    ids = tokens_of("text" + "text".join(named.replace_video_token(own, output, k) for k in range(2)))
    spec = processor_spec(2, word, (12,), pools_frames=pooled)
    assert subject.implementation.collect
    (item,) = subject.implementation.collect(spec)("r", ids, output).items  # type: ignore[arg-type]
    by_span = {"Qwen2_5_VL": [8, 9], "Qwen3VL": [4, 4, 3, 3, 3], "Kimi_K25": [4, 4, 3]}
    assert [hi - lo for lo, hi in item.spans] == by_span[family]
