"""From a Hugging Face processor's output to a request: whose placeholders are whose, and grids where all can read them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from torch import Tensor

from plumbline.interface import (
    BadGrid,
    BadPayload,
    BadSpans,
    Item,
    Modality,
    Request,
    RowCountMismatch,
    Source,
    Span,
    TowerSpec,
)
from reference.encode import grid_rows
from reference.errors import located
from reference.identify import dense
from reference.prepare import check_grid, check_tokens

NAMES = {Modality.IMAGE: ("pixel_values", "image_grid_thw"), Modality.VIDEO: ("pixel_values_videos", "video_grid_thw")}
"""What a processor calls the payload and the grid of a modality."""


def collect(request_id: str, token_ids: Tensor, processed: Mapping[str, Tensor], spec: TowerSpec) -> Request:
    """One bundle for each modality of the output, images first. PREP-014, PREP-017. Raises the first error it finds."""
    with located(f"request {request_id}"):
        check_tokens(token_ids, spec)
        sent = [mode for mode, names in NAMES.items() if any(processed.get(name) is not None for name in names)]
        check_owners(token_ids, sent, spec)
        items = []
        for modality in sent:
            with located(modality.value):
                items.append(bundle(modality, token_ids, processed, spec))
    return Request(request_id, token_ids, tuple(items))


def check_owners(token_ids: Tensor, sent: Sequence[Modality], spec: TowerSpec) -> None:
    """Each placeholder has one modality of the output that it can belong to. PREP-022, PREP-023.

    Raises BadPayload, BadSpans or RowCountMismatch.
    """
    for modality in sent:
        if modality not in spec.layouts:
            raise BadPayload(f"{modality.value}, for which tower {spec.name} has no layout", hint="ask another model")
    owners = [spec.layouts[modality].placeholder_id for modality in sent]
    if len(set(owners)) < len(owners):
        hint = "send both as one modality, in the order of the prompt, or make the items with their spans yourself"
        raise BadSpans("images and videos with the same placeholder", hint=hint)
    for modality in NAMES:
        if modality in spec.layouts and spec.layouts[modality].placeholder_id not in owners:
            orphans = int((token_ids == spec.layouts[modality].placeholder_id).sum())
            if orphans:
                what = f"{orphans} placeholders and no payload"
                raise RowCountMismatch(what, where=modality.value, hint=f"send {' and '.join(NAMES[modality])}")


def bundle(modality: Modality, token_ids: Tensor, processed: Mapping[str, Tensor], spec: TowerSpec) -> Item:
    """All images, or all videos, of the output as one item. The payload is the processor's own tensor.

    PREP-018 to PREP-022. Raises BadGrid, BadPayload or RowCountMismatch.
    """
    layout = spec.layouts[modality]
    payload, grid_thw = (processed.get(name) for name in NAMES[modality])
    if payload is None or grid_thw is None:
        have, miss = NAMES[modality] if grid_thw is None else reversed(NAMES[modality])
        raise BadGrid(f"{have} without {miss}", hint=f"send {miss} under this name; no other is looked at")
    grid = dense(grid_thw, BadGrid).to("cpu")
    positions = [at for at, token in enumerate(token_ids.tolist()) if token == layout.placeholder_id]
    each = tuple((at, at + 1) for at in positions)
    item = Item(modality, Source.PIXELS, dense(payload, BadPayload), each, grid)
    rows = [grid_rows(image, layout) for image in check_grid(item, layout)]
    if sum(rows) != len(positions):
        what = f"{len(positions)} placeholders for {sum(rows)} rows"
        raise RowCountMismatch(what, hint="expand one placeholder for each row, and send every grid")
    return replace(item, spans=deal(positions, rows))


def deal(positions: Sequence[int], rows: Sequence[int]) -> tuple[Span, ...]:
    """The spans, image by image: the next placeholder in the prompt is the next row. One that follows its neighbour
    joins its span, unless an image begins with it. PREP-018.
    """
    firsts = {0, *accumulate(rows)}
    spans: list[Span] = []
    for row, position in enumerate(positions):
        if row not in firsts and position == spans[-1][1]:
            spans[-1] = (spans[-1][0], position + 1)
        else:
            spans.append((position, position + 1))
    return tuple(spans)
