"""From a worker to the ranks: payloads travel inside the message, so that nothing is shared, leased or waited for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from plumbline.interface import BadMessage, Identity, Item, Prepared, Source, TensorMeta
from reference.encode import grid_of, parts_of, size
from reference.errors import located
from reference.messages import decode, encode
from reference.prepare import MAX_PATCHES


@dataclass(eq=False)
class Sent:
    """The ``Ticket`` of a message. It holds no lease."""

    message: bytes

    def cancel(self) -> None: ...


class Inline:
    """The ``Transport``, every worker and every rank: nothing is kept, so that there is nothing to release or take back."""

    leased = 0

    def publisher(self, worker: int) -> "Inline":
        return self

    def subscriber(self, rank: int) -> "Inline":
        return self

    def reserve(self, metas: Sequence[TensorMeta], readers: frozenset[int]) -> None: ...

    def publish(self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()) -> Sent:
        """The request as one message, less the payloads of held items. MSG-005, MSG-007, MSG-008. Raises as ``encode``."""
        items = tuple(
            replace(item, payload=None) if identity in held else item
            for item, identity in zip(prepared.items, prepared.identities, strict=True)
        )
        with located(f"request {prepared.request_id}"):
            return Sent(encode(replace(prepared, items=items)))

    def receive(self, message: bytes) -> Prepared:
        """The request, with plain CPU tensors as payloads; for any other bytes BadMessage. MSG-001 to MSG-006."""
        with located("message"):
            prepared = decode(message)
            check(prepared)
            return prepared

    def collect(self) -> None: ...

    def beat(self) -> None: ...

    def lost(self, number: int) -> None: ...

    def close(self) -> None: ...


def check(prepared: Prepared) -> None:
    """Raises BadMessage for a request that ``prepare`` cannot have given, whatever the tower. MSG-002, MSG-003.

    - Token ids are an int64 vector, not empty, and there is one int64 prefix key for each.
    - There is one identity, of at least 16 bytes, for each item.
    - Spans lie inside the tokens; none is empty, and none overlaps another.
    - An item is one image: no extra is per image, at most one caller key, a grid int64 [1, 3] and as ``prepare`` takes it.
    - A payload has at least one tensor, all of one dtype, each with a dim 0 and no empty rows. It has as many patches as
      the grid, or if precomputed as many rows as the spans have positions.

    Not asked is what only the tower's specification or the values can tell: row counts, patch shapes, tokens and digests.
    """
    tokens, keys = prepared.token_ids, prepared.prefix_keys
    if tokens.dtype != torch.int64 or tokens.dim() != 1 or not len(tokens):
        raise BadMessage("token ids are not an int64 vector of at least one")
    if keys.dtype != torch.int64 or keys.shape != tokens.shape:
        raise BadMessage("not one int64 prefix key for each token")
    if len(prepared.identities) != len(prepared.items) or any(len(i.digest) < 16 for i in prepared.identities):
        raise BadMessage("not one identity of at least 16 bytes for each item")
    free = 0
    for lo, hi in sorted(span for item in prepared.items for span in item.spans):
        if not free <= lo < hi <= len(tokens):
            raise BadMessage(f"span {(lo, hi)} is empty, overlaps another or lies outside the {len(tokens)} tokens")
        free = hi
    for index, item in enumerate(prepared.items):
        with located(f"item {index}"):
            check_item(item)


def check_item(item: Item) -> None:
    """The part of ``check`` that is about one item. MSG-002."""
    if len(item.given) > 1 or any(extra.per_image for extra in item.extras.values()):
        raise BadMessage("caller keys or extras of several images")
    grid, due = item.grid_thw, None
    if grid is not None:
        if grid.dtype != torch.int64 or grid.shape != (1, 3) or grid.min() < 1 or prod(grid_of(grid)) > MAX_PATCHES:
            raise BadMessage(f"a grid that is not int64 [1, 3], positive and of at most {MAX_PATCHES} patches")
        due = prod(grid_of(grid))
    if item.source is Source.PRECOMPUTED:
        due = sum(hi - lo for lo, hi in item.spans)
    if item.payload is not None:
        parts = [part for part in parts_of(item) if isinstance(part, Tensor)]
        if len({part.dtype for part in parts}) != 1 or any(part.dim() == 0 or 0 in part.shape[1:] for part in parts):
            raise BadMessage("a payload without tensors, of several dtypes or with empty rows")
        if due not in (None, size(item)):
            raise BadMessage(f"{size(item)} patches or rows where {due} are due")
