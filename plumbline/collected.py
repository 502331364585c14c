"""Judges ``collect``: a request's images and videos as a Hugging Face processor gives them, and what became of them.

What is expected comes from the recipe, in plain integers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plumbline import closed_form
from plumbline.bench import Verdicts
from plumbline.build import payload_of, with_strides
from plumbline.exact import exact_spec
from plumbline.interface import BadSpans, Collect, Implementation, Item, PlumblineError, Span
from plumbline.scenario import ItemRecipe, RequestRecipe, TowerRecipe

NAMES = {"image": ("pixel_values", "image_grid_thw"), "video": ("pixel_values_videos", "video_grid_thw")}
Processed = dict[str, Tensor]


def as_processed(request: RequestRecipe) -> RequestRecipe:
    """What of a request a processor can give: images and videos with grids, each with its placeholders in row order."""
    items = tuple(
        ItemRecipe(i.modality, grid=i.grid, parts=i.parts, content=i.content, pieces=i.pieces, strides=i.strides)
        for i in request.items
        if i.grid and i.source != "precomputed"
    )
    return RequestRecipe(request.name, items, request.gaps, request.text)


def output_of(tower: TowerRecipe, request: RequestRecipe, device: torch.device) -> tuple[Tensor, Processed]:
    """Token ids, and the processor's output on ``device``, with more in it than ``collect`` looks at."""
    ids = torch.tensor(closed_form.lay_out(tower, request).token_ids, dtype=torch.int64)
    processed = {"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]}
    for modality, (payload, grid) in NAMES.items():
        members = [item for item in request.items if item.modality == modality]
        if members:
            whole = torch.cat([payload_of(tower, item)[0] for item in members]).to(device)
            processed[payload] = with_strides(whole, members[0].strides)
            processed[grid] = torch.tensor([item.grid for item in members]).to(device)
    return ids, processed


def spans_of(tower: TowerRecipe, request: RequestRecipe, modality: str) -> tuple[Span, ...]:
    """Of all items of the modality, in the order of the prompt. Neighbours in one item are one span."""
    spans: list[Span] = []
    for item, pieces in zip(request.items, closed_form.lay_out(tower, request).spans, strict=True):
        if item.modality == modality:
            spans += pieces[:1]
            for lo, hi in pieces[1:]:
                spans[-1:] = [(spans[-1][0], hi)] if spans[-1][1] == lo else [spans[-1], (lo, hi)]
    return tuple(spans)


def judge_collected(
    tower: TowerRecipe,
    request: RequestRecipe,
    implementation: Implementation,
    device: torch.device,
    collect: Collect | None = None,
) -> Verdicts:
    """Verdicts on one output of a processor that leaves everything on ``device``. collect: used before; else a new one."""
    verdicts = Verdicts()
    ids, processed = output_of(tower, request, device)
    sent = [modality for modality in NAMES if NAMES[modality][0] in processed]
    shared = len({closed_form.placeholder_id(tower, modality) for modality in sent}) < len(sent)
    assert implementation.collect
    try:
        got = (collect or implementation.collect(exact_spec(tower)))(request.name, ids, processed)
    except Exception as error:
        typed = isinstance(error, PlumblineError) and bool(error.what and error.where)
        verdicts.check("ISO-003", typed, f"collecting raised {error!r}")
        expected = BadSpans if shared else ()
        verdicts.check("PREP-023" if shared else "PREP-017", isinstance(error, expected), f"refused with {error!r}")
        return verdicts
    if not verdicts.check("PREP-023", not shared, f"images and videos share a placeholder, and got {got.items}"):
        return verdicts
    same = got.request_id == request.name and torch.equal(got.token_ids, ids)
    verdicts.check("PREP-017", same, f"request {got.request_id} has other token ids or another name")
    kinds = sorted(item.modality.value for item in got.items)
    if verdicts.check("PREP-017", kinds == sent, f"bundles of {kinds} for an output of {sent}"):
        for item in got.items:
            _judge_bundle(tower, request, item, processed, verdicts)
    return verdicts


def _judge_bundle(
    tower: TowerRecipe, request: RequestRecipe, item: Item, processed: Processed, verdicts: Verdicts
) -> None:
    modality = item.modality.value
    grids = [list(i.grid) for i in request.items if i.modality == modality and i.grid]
    grid, spans = item.grid_thw, spans_of(tower, request, modality)
    here = isinstance(grid, Tensor) and grid.device.type == "cpu" and grid.dtype is torch.int64
    if verdicts.check("PREP-019", here, f"the grid of {modality} is {grid!r}"):
        assert grid is not None
        verdicts.check("PREP-017", grid.tolist() == grids, f"{modality} has grids {grid.tolist()} for {grids}")
    verdicts.check("PREP-018", item.spans == spans, f"{modality} has spans {item.spans} for {spans}")
    sent = processed[NAMES[modality][0]]
    own = isinstance(item.payload, Tensor) and item.payload.device == sent.device
    own = own and item.payload.data_ptr() == sent.data_ptr() and item.payload.shape == sent.shape  # type: ignore[union-attr]
    verdicts.check("PREP-020", own, f"the payload of {modality} is not the processor's tensor, or elsewhere")
