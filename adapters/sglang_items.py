"""Items as SGLang describes them, and back. Translation only: nothing is checked, reordered or computed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adapters.sglang_release import release
from plumbline.interface import Encoded, Extra, Identity, Item, Modality, Payload, Source, Span, TowerSpec

GRIDS = {Modality.IMAGE: "image_grid_thw", Modality.VIDEO: "video_grid_thw", Modality.AUDIO: "audio_grid_thw"}
"""Where SGLang's processors keep an item's grids. Audio has none in SGLang; its name is ours."""


def to_sglang(item: Item) -> Any:
    """One Item as a MultimodalDataItem. Its offsets are inclusive at both ends."""
    S = release()
    payload = list(item.payload) if isinstance(item.payload, tuple) else item.payload
    data = {name: list(e.value) if e.per_image else e.value for name, e in item.extras.items()}  # type: ignore[call-overload]
    if item.grid_thw is not None:
        data[GRIDS[item.modality]] = item.grid_thw
    precomputed = item.source is Source.PRECOMPUTED
    return S.batch.MultimodalDataItem(
        modality=S.batch.Modality[item.modality.name],
        offsets=[(lo, hi - 1) for lo, hi in item.spans],
        feature=None if precomputed else payload,
        precomputed_embeddings=_whole(item.payload) if precomputed and item.payload is not None else None,
        model_specific_data=data,
    )


def from_sglang(part: Any, item: Item) -> Item:
    """One of the items into which SGLang split ``item``."""
    payload = part.feature if part.feature is not None else part.precomputed_embeddings
    if len(part.offsets) == len(item.spans):  # not taken apart, so a divided payload is still divided
        payload = item.payload
    return dataclasses.replace(
        item,
        payload=tuple(payload) if isinstance(payload, list) else payload,
        spans=tuple((lo, hi + 1) for lo, hi in part.offsets),
        grid_thw=None if item.grid_thw is None else part.model_specific_data[GRIDS[item.modality]],
        extras={name: _extra(e, part.model_specific_data[name]) for name, e in item.extras.items()},
    )


def _extra(extra: Extra, value: Any) -> Extra:
    """SGLang cuts a list of values into lists of one. A list that it did not cut stays one value for each image."""
    if extra.per_image and len(value) == 1:
        return Extra(value[0], extra.affects_rows)
    return Extra(tuple(value) if extra.per_image else value, extra.affects_rows, extra.per_image)


def images(item: Item) -> list[Item]:
    """A bundle that SGLang did not take apart reaches SGLang's models whole, and they read every grid of it."""
    if item.grid_thw is None or len(item.grid_thw) == 1:
        return [item]
    grids = torch.split(item.grid_thw, 1)
    payloads = torch.split(_whole(item.payload), [int(grid.prod()) for grid in grids])
    return [
        dataclasses.replace(
            item, payload=payload, grid_thw=grid, extras={n: _of_image(e, k) for n, e in item.extras.items()}
        )
        for k, (payload, grid) in enumerate(zip(payloads, grids, strict=True))
    ]


def _whole(payload: Payload) -> Tensor:
    """A payload of tensors as one; SGLang's rows and its bundles with grids are never divided."""
    return torch.cat(
        [part for part in (payload if isinstance(payload, tuple) else (payload,)) if isinstance(part, Tensor)]
    )


def _of_image(extra: Extra, image: int) -> Extra:
    return Extra(extra.value[image], extra.affects_rows) if extra.per_image else extra  # type: ignore[index]


def inputs_of(parts: Sequence[Any], spec: TowerSpec) -> Any:
    """A request's MultimodalInputs. A modality pads its items only where its token id is known."""
    ids = {m: layout.placeholder_id for m, layout in spec.layouts.items()}
    return release().batch.MultimodalInputs(
        mm_items=list(parts),
        im_token_id=ids.get(Modality.IMAGE),
        video_token_id=ids.get(Modality.VIDEO),
        audio_token_id=ids.get(Modality.AUDIO),
    )


def name(part: Any, identity: Identity) -> Any:
    """``part``, with that identity."""
    release().name(part, identity.digest)
    return part


def key_of(identity: Identity) -> int:
    """What SGLang's cache calls an item of this identity: its ``hash``."""
    S = release()
    part = S.batch.MultimodalDataItem(modality=S.batch.Modality.IMAGE)
    return int(name(part, identity).hash)


def fuse(encoded: Encoded) -> Tensor:
    """[R, hidden_size * (1 + side_levels)], as SGLang's models give rows. Without side levels the rows themselves."""
    return torch.cat((encoded.rows, *encoded.side), 1) if encoded.side else encoded.rows


def unfuse(fused: Tensor, hidden: int) -> Encoded:
    """Views of ``fused``."""
    rows, *side = torch.split(fused, hidden, 1)
    return Encoded(rows, tuple(side))


def runs(positions: Sequence[int]) -> list[Span]:
    """Ascending positions as half-open runs."""
    found: list[Span] = []
    for p in positions:
        if found and found[-1][1] == p:
            found[-1] = found[-1][0], p + 1
        else:
            found.append((p, p + 1))
    return found
