"""Requests on one rank, and the rows of their chunks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plumbline.interface import (
    BadChunk,
    Chunk,
    DuplicateRequest,
    Encoder,
    EpochChanged,
    Failure,
    Feature,
    Item,
    LeaseLost,
    PlumblineError,
    Prepared,
    RequestId,
    Rows,
    Runtime,
    UnknownRequest,
)
from reference.encode import parts_of
from reference.errors import located


def item_positions(item: Item) -> Tensor:
    """CPU int64 [R]: the position of each row, the spans walked as listed. The tokens are not asked.

    ITEM-001, ITEM-003, ITEM-008.
    """
    return torch.tensor([position for lo, hi in item.spans for position in range(lo, hi)], dtype=torch.int64)


def needed(prepared: Prepared, chunk: Chunk) -> list[Item]:
    """The items with a row inside the chunk. WORK-001, WORK-003."""
    return [item for item in prepared.items if any(lo < chunk.hi and chunk.lo < hi for lo, hi in item.spans)]


def features(items: Sequence[Item]) -> list[Feature]:
    """The lazy payloads of the items."""
    return [part for item in items for part in parts_of(item) if not isinstance(part, Tensor)]


def chunk_rows(prepared: Prepared, chunk: Chunk, encoder: Encoder, runtime: Runtime) -> Rows:
    """The rows of the placeholders inside the chunk, ascending by position.

    Encodes the items that the chunk needs, each as a whole, so that neither the cut nor the order of the items matters.

    ITEM-004, CHUNK-001, CHUNK-002, CHUNK-006 to CHUNK-008, WORK-001. Raises the first error of an item.
    """
    spec, device = runtime.spec, runtime.port.device
    items = needed(prepared, chunk)
    # An empty first tensor, so that a chunk without items has the right width, dtype and device as well.
    positions = [torch.empty(0, dtype=torch.int64)]
    levels = [[torch.empty(0, spec.hidden_size, dtype=spec.dtype, device=device)] for _ in range(1 + spec.side_levels)]
    for item, encoded in zip(items, encoder.encode(items), strict=True):
        if isinstance(encoded, PlumblineError):
            raise encoded
        positions.append(item_positions(item))
        for level, rows in zip(levels, (encoded.rows, *encoded.side), strict=True):
            level.append(rows)
    every = torch.cat(positions)
    order = every.argsort()
    inside = order[(every[order] >= chunk.lo) & (every[order] < chunk.hi)]
    main, *side = [torch.cat(level)[inside.to(device)] for level in levels]
    return Rows(chunk.request_id, chunk.lo, chunk.hi, every[inside], main, tuple(side))


@dataclass(eq=False)
class Settled:
    """The ``Step``. read: for each successful chunk its request and the lazy payloads behind its rows. LIFE-009, LIFE-012."""

    results: Sequence[Rows | Failure]
    read: Sequence[tuple[RequestId, Sequence[Feature]]]

    def settle(self) -> list[Failure]:
        """One LeaseLost for each request whose rows came from a payload that was fenced off."""
        failures = []
        for request_id, lazy in self.read:
            try:
                for feature in lazy:
                    feature.check()
            except LeaseLost as error:
                failures.append(Failure(request_id, error))
        return failures


class Embed:
    """Holds admitted requests and nothing else: every step encodes what it needs from the payloads.

    Nothing outlives its request, so a request that runs again is computed again, with the weights of that moment.

    CHUNK-004, CHUNK-005, LIFE-001 to LIFE-008, LIFE-010, LIFE-011, LIFE-013, EPOCH-001, EPOCH-002, CACHE-001, CACHE-006.
    """

    def __init__(self, runtime: Runtime, encoder: Encoder) -> None:
        self._runtime = runtime
        self._encoder = encoder
        self._admitted: dict[RequestId, Prepared] = {}
        self._served: dict[RequestId, int] = {}  # the epoch of the rows that a request got since its last start
        self._epoch = 0

    def admit(self, prepared: Prepared) -> None:
        """Takes the request. Raises DuplicateRequest. LIFE-004, LIFE-007: opens nothing."""
        if prepared.request_id in self._admitted:
            raise DuplicateRequest("the id is in use", where=f"request {prepared.request_id}", hint="rename it")
        self._admitted[prepared.request_id] = prepared

    def step(self, chunks: Sequence[Chunk]) -> Settled:
        """One result for each chunk, in order; a chunk's error is its own. CHUNK-004, CHUNK-005."""
        results: list[Rows | Failure] = []
        read: list[tuple[RequestId, Sequence[Feature]]] = []
        seen: set[RequestId] = set()
        for chunk in chunks:
            try:
                prepared = self._request(chunk.request_id)
                with located(f"request {chunk.request_id}"):
                    if chunk.request_id in seen:
                        raise BadChunk("the second chunk in one step", hint="send one chunk of a request in each step")
                    seen.add(chunk.request_id)
                    results.append(self._serve(prepared, chunk))
                read.append((chunk.request_id, features(needed(prepared, chunk))))
            except PlumblineError as error:
                results.append(Failure(chunk.request_id, error))
        return Settled(results, read)

    def retract(self, request_id: RequestId) -> None:
        """Forgets that the request was served; it keeps its payloads. Raises UnknownRequest. LIFE-001, EPOCH-002."""
        self._request(request_id)
        self._served.pop(request_id, None)

    def finish(self, request_id: RequestId) -> None:
        """Releases the request's lazy payloads and forgets it. Raises UnknownRequest. LIFE-002, LIFE-006, LIFE-008."""
        prepared = self._request(request_id)
        del self._admitted[request_id]
        self._served.pop(request_id, None)
        for feature in features(prepared.items):
            feature.release()

    def set_epoch(self, epoch: int) -> None:
        """From now on rows are those of ``epoch``. EPOCH-001."""
        self._epoch = epoch

    def _request(self, request_id: RequestId) -> Prepared:
        if not isinstance(request_id, str) or request_id not in self._admitted:
            raise UnknownRequest("no such request is admitted", where=f"request {request_id}", hint="admit it first")
        return self._admitted[request_id]

    def _serve(self, prepared: Prepared, chunk: Chunk) -> Rows:
        tokens = len(prepared.token_ids)
        if type(chunk.lo) is not int or type(chunk.hi) is not int or not 0 <= chunk.lo < chunk.hi <= tokens:
            raise BadChunk(f"empty, or outside the {tokens} tokens", hint="integers 0 <= lo < hi <= tokens")
        if self._served.get(chunk.request_id, self._epoch) != self._epoch:
            raise EpochChanged("served rows of other weights before", hint="retract it and start again")
        rows = chunk_rows(prepared, chunk, self._encoder, self._runtime)
        self._served[chunk.request_id] = self._epoch
        return rows
