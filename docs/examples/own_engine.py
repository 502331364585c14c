"""A whole path of somebody else's, behind the interface: ``Engine`` stands for it, ``EngineEmbed`` is the adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from plumbline.interface import (
    BadChunk,
    Cache,
    Capability,
    CapabilityMissing,
    Chunk,
    DuplicateRequest,
    Encoded,
    Encoder,
    Failure,
    Implementation,
    Item,
    PlumblineError,
    Prepared,
    RequestId,
    Rows,
    Runtime,
    Step,
    UnknownRequest,
)

# ------------------------------------------------------------------------------------------- the engine, in its own words


@dataclass
class MMItem:
    """offsets: both ends inclusive, as the engine found them in the prompt. feature: what its encoder reads."""

    offsets: list[tuple[int, int]]
    hash: bytes
    feature: Item


class Engine:
    """Encodes what a chunk overlaps, one item a call, and remembers the rows until the last of them was asked for."""

    def __init__(self, encode: Callable[[Item], Encoded]) -> None:
        self.encode = encode
        self.requests: dict[str, list[MMItem]] = {}
        self.embeddings: dict[tuple[str, bytes], Encoded] = {}

    def prefill(self, rid: str, prefix: int, extend: int) -> tuple[list[int], list[Encoded], list[int]]:
        """Positions of the chunk [prefix, prefix + extend) that hold rows; and for each the item's rows and which."""
        found = []
        for item in self.requests[rid]:
            if any(end >= prefix and start < prefix + extend for start, end in item.offsets):
                key = rid, item.hash
                if key not in self.embeddings:
                    self.embeddings[key] = self.encode(item.feature)
                places = [place for start, end in item.offsets for place in range(start, end + 1)]
                found += [(place, self.embeddings[key], row) for row, place in enumerate(places)]
        self.forget(rid, prefix + extend)
        inside = sorted((f for f in found if prefix <= f[0] < prefix + extend), key=lambda f: f[0])
        return [f[0] for f in inside], [f[1] for f in inside], [f[2] for f in inside]

    def forget(self, rid: str, until: int) -> None:
        """Rows that were all delivered. Equal items share theirs."""
        last: dict[bytes, int] = {}
        for item in self.requests[rid]:
            last[item.hash] = max([last.get(item.hash, -1), *(end for _, end in item.offsets)])
        for key in [(rid, digest) for digest, end in last.items() if end < until]:
            self.embeddings.pop(key, None)

    def drop(self, rid: str) -> None:
        del self.requests[rid]
        self.embeddings = {key: rows for key, rows in self.embeddings.items() if key[0] != rid}


# ---------------------------------------------------------------------------------------------------------- the adapter


@dataclass
class Done:
    """Nothing happens after the step: there are no leases to check and no cache to fill."""

    results: Sequence[Rows | Failure]

    def settle(self) -> list[Failure]:
        return []


class EngineEmbed:
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        self.spec, self.encoder, self.device = runtime.spec, encoder, runtime.port.device
        self.engine = Engine(self.encode)
        self.lengths: dict[RequestId, int] = {}

    def encode(self, item: Item) -> Encoded:
        (result,) = self.encoder.encode([item])
        if isinstance(result, PlumblineError):
            raise result
        return result

    # region admit and step
    def admit(self, prepared: Prepared) -> None:
        if prepared.request_id in self.lengths:
            raise DuplicateRequest("the id is in use", where=prepared.request_id)
        if not all(isinstance(part, Tensor) for item in prepared.items for part in parts_of(item)):
            raise CapabilityMissing("lazy payloads", where=prepared.request_id)
        self.lengths[prepared.request_id] = len(prepared.token_ids)
        self.engine.requests[prepared.request_id] = [
            # Half-open spans become inclusive offsets, in the order of the prompt, which is all that this engine knows.
            MMItem(sorted((lo, hi - 1) for lo, hi in item.spans), identity.digest, item)
            for item, identity in zip(prepared.items, prepared.identities, strict=True)
        ]

    def step(self, chunks: Sequence[Chunk]) -> Step:
        results: list[Rows | Failure] = []
        seen: set[RequestId] = set()
        for chunk in chunks:
            try:
                results.append(self.rows(chunk, seen))
            except PlumblineError as error:  # a failure is a result, of this request only
                results.append(Failure(chunk.request_id, error))
        return Done(results)

    # endregion

    def rows(self, chunk: Chunk, seen: set[RequestId]) -> Rows:
        length = self.length(chunk.request_id)
        first = chunk.request_id not in seen
        seen.add(chunk.request_id)
        if not first or not 0 <= chunk.lo < chunk.hi <= length:
            raise BadChunk("not the one chunk of its request, inside the prompt", where=chunk.request_id)
        positions, owners, rows = self.engine.prefill(chunk.request_id, chunk.lo, chunk.hi - chunk.lo)
        levels: list[list[Tensor]] = [[] for _ in range(1 + self.spec.side_levels)]
        for owner, row in zip(owners, rows, strict=True):
            for level, tensor in zip(levels, (owner.rows, *owner.side), strict=True):
                level.append(tensor[row])
        main, *side = (self.stacked(level) for level in levels)
        return Rows(chunk.request_id, chunk.lo, chunk.hi, torch.tensor(positions, dtype=torch.int64), main, tuple(side))

    def stacked(self, rows: list[Tensor]) -> Tensor:
        """A chunk of text has no rows, and they have the full width."""
        shape = (0, self.spec.hidden_size)
        return torch.stack(rows) if rows else torch.empty(shape, dtype=self.spec.dtype, device=self.device)

    def retract(self, request_id: RequestId) -> None:
        self.length(request_id)  # its payloads stay, so it can start again anywhere

    def finish(self, request_id: RequestId) -> None:
        self.length(request_id)
        del self.lengths[request_id]
        self.engine.drop(request_id)

    def set_epoch(self, epoch: int) -> None:
        raise CapabilityMissing("new weights", where=f"epoch {epoch}")

    def length(self, request_id: RequestId) -> int:
        if request_id not in self.lengths:
            raise UnknownRequest("no such request is admitted", where=str(request_id))
        return self.lengths[request_id]


def parts_of(item: Item) -> Sequence[object]:
    return item.payload if isinstance(item.payload, tuple) else (item.payload,)


# region claims
implementation = Implementation(
    name="own engine",
    version="1",
    capabilities=frozenset({Capability.VIDEO, Capability.SEVERAL_SPANS, Capability.SIDE_ROWS, Capability.HOLDING}),
    embed=EngineEmbed,
)
# endregion


# region refusing
class Refusing(EngineEmbed):
    def admit(self, prepared: Prepared) -> None:
        if any(list(item.spans) != sorted(item.spans) for item in prepared.items):
            raise CapabilityMissing("spans in another order than the prompt's", where=prepared.request_id)
        super().admit(prepared)


refusing = replace(
    implementation,
    name="own engine, refusing",
    capabilities=implementation.capabilities - {Capability.VIDEO, Capability.SEVERAL_SPANS},
    embed=Refusing,
)
# endregion
