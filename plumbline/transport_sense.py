"""Whether a received request makes sense: what no tower is needed to see, and all that ``prepare`` gives is like."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from plumbline.interface import Item, Prepared, Source
from plumbline.transport_fields import parts_of

LEAST_DIGEST = 16
"""Bytes of an identity, by the interface."""


def nonsense(prepared: Prepared) -> str:
    """The first thing in which the request contradicts itself; empty where it does not."""
    return next(_nonsense(prepared), "")


def _nonsense(prepared: Prepared) -> Iterator[str]:
    tokens, keys = prepared.token_ids, prepared.prefix_keys
    if any(ids.dtype is not torch.int64 or ids.dim() != 1 for ids in (tokens, keys)) or len(tokens) != len(keys):
        yield f"prefix keys {keys.dtype} {list(keys.shape)} for tokens {tokens.dtype} {list(tokens.shape)}"
    if len(prepared.identities) != len(prepared.items):
        yield f"{len(prepared.identities)} identities for {len(prepared.items)} items"
    if any(len(identity.digest) < LEAST_DIGEST for identity in prepared.identities):
        yield "an identity that is too short"
    free = 0
    for lo, hi in sorted(span for item in prepared.items for span in item.spans):
        if not free <= lo < hi <= len(tokens):
            yield f"the span {(lo, hi)} is empty, overlaps another or lies outside of {len(tokens)} tokens"
        free = hi
    for item in prepared.items:
        yield from _nonsense_in(item)


def _nonsense_in(item: Item) -> Iterator[str]:
    due = None
    if item.grid_thw is not None:
        grid = item.grid_thw
        if grid.dtype is not torch.int64 or grid.shape != (1, 3) or int(grid.min()) < 1:
            yield f"a grid of {grid.dtype} {grid.tolist()}"
            return
        due = math.prod(grid[0].tolist())
    if item.source is Source.PRECOMPUTED:
        due = sum(hi - lo for lo, hi in item.spans)
    if len(item.given) > 1 or any(extra.per_image for extra in item.extras.values()):
        yield "caller keys or extras of several images"
    shapes = [part.shape if isinstance(part, Tensor) else part.meta.shape for part in parts_of(item.payload)]
    if item.payload is not None and not (shapes and all(shapes)):
        yield "a payload of no tensors, or of one without dimensions"
    elif item.payload is not None and due not in (None, sum(shape[0] for shape in shapes)):
        yield f"a payload of {sum(shape[0] for shape in shapes)} entries where {due} are due"
