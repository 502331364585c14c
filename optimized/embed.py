"""Requests on one rank and the rows of their chunks: what is known is reused, what is missing is encoded together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakSet

import torch
from torch import Tensor

from optimized.cache import owned
from optimized.places import Piece, Places
from optimized.ranks import SharedEncoder, agree_on_errors, peers_of
from optimized.rows import ChunkRows
from plumbline.interface import (
    BadChunk,
    Cache,
    Chunk,
    DuplicateRequest,
    Encoded,
    Encoder,
    EncodingFailed,
    EpochChanged,
    Failure,
    Feature,
    Identity,
    Item,
    LeaseLost,
    PlumblineError,
    Prepared,
    RequestId,
    Rows,
    Runtime,
    Source,
    UnknownRequest,
)

log = logging.getLogger(__name__)

Key = tuple[bytes, int]
"""Digest and number of rows: equal keys, equal rows."""


class Known:
    """Rows of one identity. features: lazy payloads they came from, to be checked before the rows may be kept.

    settled: whether that was done. lost: what it found. holders: how many items of requests hold the rows.
    """

    features: tuple[Feature, ...] = ()
    from_tower = False
    settled = True
    lost: PlumblineError | None = None
    holders = 0

    def __init__(self, key: Key, epoch: int, encoded: Encoded) -> None:
        self.key, self.epoch, self.encoded = key, epoch, encoded

    def check(self) -> None:
        """Asks the leases, once: afterwards they may be released."""
        features, self.features = self.features, ()
        try:
            for feature in features:
                feature.check()
        except PlumblineError as error:
            self.lost = error.with_traceback(None)
        except Exception as error:  # ranks that wait to hear of it must not wait in vain
            self.lost = LeaseLost(f"asking for the lease raised {type(error).__name__}: {error}")


@dataclass(eq=False, slots=True)
class Admitted:
    """One request. ends: by item, where its last span ends. epoch: of the rows that it was served.

    held: by item, rows that are kept until the last of them was delivered. fresh: rows that came from its payloads and
    may not be settled yet, which this keeps none alive of.
    """

    items: tuple[Item, ...]
    identities: tuple[Identity, ...]
    keys: list[Key]
    ends: list[int]
    length: int
    places: Places
    held: dict[int, Known] = field(default_factory=dict)
    fresh: WeakSet[Known] = field(default_factory=WeakSet)
    epoch: int | None = None


Wanted = tuple[Admitted, int]
"""A request and the index of its item."""


@dataclass(eq=False, slots=True)
class Plan:
    """A chunk that can be served. needs: the distinct items of its pieces."""

    chunk: Chunk
    request: Admitted
    pieces: list[Piece]
    needs: tuple[int, ...]


class EmbedStep:
    """Results of one step, and what has to be checked before its rows may be kept."""

    def __init__(
        self,
        embed: Embedder,
        results: Sequence[Rows | Failure],
        fresh: list[Known],
        used: list[tuple[RequestId, Known]],
    ) -> None:
        self.results = results
        self._embed = embed
        self._fresh = fresh
        self._used = used

    def settle(self) -> list[Failure]:
        waiting = dict.fromkeys([*self._fresh, *(known for _, known in self._used)])
        self._embed.settle([known for known in waiting if not known.settled])
        lost = {request_id: known.lost for request_id, known in self._used if known.lost is not None}
        return [Failure(request_id, error) for request_id, error in lost.items()]


class Embedder:
    """Serves an item from what a request holds, else from the cache, else encodes it once for all who miss it."""

    sharing: type[SharedEncoder] = SharedEncoder
    """What encodes where there are other ranks."""

    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        self.spec = runtime.spec
        nothing = torch.empty((0, self.spec.hidden_size), dtype=self.spec.dtype, device=runtime.port.device)
        self.empty = Encoded(nothing, (nothing,) * self.spec.side_levels)
        self.ranks = peers_of(runtime)
        self.encoder = self.sharing(runtime, encoder, self.ranks) if self.ranks else encoder
        self.cache = cache
        self.epoch = 0
        self._requests: dict[RequestId, Admitted] = {}
        self._held: dict[Key, Known] = {}

    # ------------------------------------------------------------------------------------------------------ lifecycle

    def admit(self, prepared: Prepared) -> None:
        if prepared.request_id in self._requests:
            raise DuplicateRequest("the id is in use", where=f"request {prepared.request_id}", hint="finish it first")
        spans = [item.spans for item in prepared.items]
        rows = [sum(hi - lo for lo, hi in one) for one in spans]
        self._requests[prepared.request_id] = Admitted(
            items=prepared.items,
            identities=prepared.identities,
            keys=[self.key(identity, count) for identity, count in zip(prepared.identities, rows, strict=True)],
            ends=[max((hi for _, hi in one), default=0) for one in spans],
            length=len(prepared.token_ids),
            places=Places(spans),
        )

    def key(self, identity: Identity, rows: int) -> Key:
        return identity.digest, rows

    def retract(self, request_id: RequestId) -> None:
        request = self._request(request_id)
        request.epoch = None
        self._drop(request, list(request.held))

    def finish(self, request_id: RequestId) -> None:
        request = self._request(request_id)
        del self._requests[request_id]
        self._drop(request, list(request.held))
        # A released lease belongs to somebody else: this is the last moment to ask for what was read from it.
        for known in request.fresh:
            known.check()
        for feature in self.features(request.items):
            feature.release()

    def set_epoch(self, epoch: int) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        for request in self._requests.values():
            self._drop(request, list(request.held))

    def _request(self, request_id: RequestId) -> Admitted:
        try:
            return self._requests[request_id]
        except (KeyError, TypeError):
            raise UnknownRequest("no such request is admitted", where=f"request {request_id}") from None

    def features(self, items: Iterable[Item]) -> list[Feature]:
        """The distinct lazy payloads of ``items``."""
        parts = (p for item in items for p in (item.payload if isinstance(item.payload, tuple) else (item.payload,)))
        return list({id(part): part for part in parts if part is not None and not isinstance(part, Tensor)}.values())

    # ----------------------------------------------------------------------------------------------------------- step

    def step(self, chunks: Sequence[Chunk]) -> EmbedStep:
        plans = self._plans(chunks)
        ready = [plan for plan in plans if isinstance(plan, Plan)]
        found, missing = self._find(ready)
        fresh, errors = self._encode(missing)
        found |= fresh
        results = [self._serve(plan, found, errors) if isinstance(plan, Plan) else plan for plan in plans]
        unsettled = {key for key, known in found.items() if not known.settled}
        used = [
            (plan.chunk.request_id, found[key])
            for plan, result in zip(plans, results, strict=True)
            if unsettled and isinstance(plan, Plan) and isinstance(result, Rows)
            for key in dict.fromkeys(plan.request.keys[item] for item in plan.needs)
            if key in unsettled
        ]
        return EmbedStep(self, results, list(fresh.values()), used)

    def _plans(self, chunks: Sequence[Chunk]) -> list[Plan | Failure]:
        seen: set[RequestId] = set()
        plans: list[Plan | Failure] = []
        for chunk in chunks:
            try:
                plans.append(self._plan(chunk, seen))
            except PlumblineError as error:
                plans.append(Failure(chunk.request_id, error.with_traceback(None)))
        return plans

    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        request = self._request(chunk.request_id)
        lo, hi, known = chunk.lo, chunk.hi, len(seen)
        seen.add(chunk.request_id)
        whole = type(lo) is int and type(hi) is int and 0 <= lo < hi <= request.length
        if not whole or len(seen) == known or request.epoch not in (None, self.epoch):
            raise self._wrong(chunk, request, len(seen) == known, whole)
        pieces = request.places.pieces(lo, hi)
        return Plan(chunk, request, pieces, tuple(dict.fromkeys([item for item, _, _, _ in pieces])))

    def _wrong(self, chunk: Chunk, request: Admitted, second: bool, whole: bool) -> PlumblineError:
        where = f"request {chunk.request_id}"
        if second:
            return BadChunk("the second chunk of its request in one step", where=where)
        if not whole:
            return BadChunk(f"the chunk is empty or not inside [0, {request.length})", where=where)
        return EpochChanged(f"served under epoch {request.epoch}, now {self.epoch}", where=where, hint="retract it")

    def _find(self, plans: Sequence[Plan]) -> tuple[dict[Key, Known], dict[Key, list[Wanted]]]:
        """What is at hand, and for each missing key the items of this step that want it."""
        found: dict[Key, Known] = {}
        missing: dict[Key, list[Wanted]] = {}
        for plan in plans:
            request = plan.request
            for index in plan.needs:
                key = request.keys[index]
                if key in found:
                    continue
                if key in missing:
                    missing[key].append((request, index))
                elif (known := self._held.get(key) or self._cached(request, index)) is not None:
                    found[key] = known
                else:
                    missing[key] = [(request, index)]
        return found, missing

    def _cached(self, request: Admitted, index: int) -> Known | None:
        """Rows from the cache; a number of rows other than the item's is a miss."""
        if self.cache is None or request.items[index].source is Source.PRECOMPUTED:
            return None
        key, entry = request.keys[index], self.cache.get(request.identities[index], self.epoch)
        return Known(key, self.epoch, entry) if entry is not None and self.fits(entry, key) else None

    def fits(self, encoded: Encoded, key: Key) -> bool:
        return encoded.rows.shape[0] == key[1] and len(encoded.side) == self.spec.side_levels

    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        """One encoder call for all. Equal items stand in for each other where the payload of one is not to be had."""
        fresh: dict[Key, Known] = {}
        errors: dict[Key, PlumblineError] = {}
        while missing:
            again: dict[Key, list[Wanted]] = {}
            results = self.encoder.encode([request.items[index] for (request, index), *_ in missing.values()])
            for (key, wanted), result in zip(missing.items(), results, strict=True):
                if isinstance(result, Encoded):
                    if self.fits(result, key):
                        fresh[key] = self._fresh(key, *wanted[0], result)
                    else:
                        errors[key] = EncodingFailed(f"{len(result.rows)} rows, where {key[1]} are due")
                elif isinstance(result, EncodingFailed) or len(wanted) == 1:
                    errors[key] = result
                else:
                    again[key] = wanted[1:]
            missing = again
        return fresh, errors

    def _fresh(self, key: Key, request: Admitted, index: int, encoded: Encoded) -> Known:
        item = request.items[index]
        known = Known(key, self.epoch, encoded)
        known.features = tuple(self.features([item]))
        known.from_tower = item.source is not Source.PRECOMPUTED
        known.settled = False
        request.fresh.add(known)
        return known

    def _serve(self, plan: Plan, found: dict[Key, Known], errors: dict[Key, PlumblineError]) -> Rows | Failure:
        failed = [item for item in plan.needs if plan.request.keys[item] in errors] if errors else []
        # Of a chunk that fails nothing was delivered, so that all of its rows are still to come.
        self._hold(plan, found, plan.chunk.lo if failed else plan.chunk.hi)
        if failed:
            return Failure(plan.chunk.request_id, errors[plan.request.keys[failed[0]]])
        plan.request.epoch = self.epoch
        return self.rows(plan, found)

    def rows(self, plan: Plan, found: dict[Key, Known]) -> Rows:
        keys = plan.request.keys
        return ChunkRows.of(
            plan.chunk, [(found[keys[item]].encoded, lo, hi, at) for item, lo, hi, at in plan.pieces], self.empty
        )

    # ----------------------------------------------------------------------------------------------------------- held

    def _hold(self, plan: Plan, found: dict[Key, Known], delivered: int) -> None:
        """Keeps the items that have rows to come after ``delivered``, and lets go of the others."""
        request = plan.request
        if request.held:
            self._drop(request, [item for item in request.held if request.ends[item] <= delivered])
        for item in plan.needs:
            if request.ends[item] <= delivered or item in request.held:
                continue
            known = found.get(request.keys[item])
            if known is not None:
                request.held[item] = known
                known.holders += 1
                self._held[known.key] = known

    def _drop(self, request: Admitted, items: Iterable[int]) -> None:
        for item in items:
            known = request.held.pop(item)
            known.holders -= 1
            if not known.holders and self._held.get(known.key) is known:
                del self._held[known.key]

    def settle(self, waiting: Sequence[Known]) -> None:
        """Keeps rows whose payload was read whole, in storage of their own; forgets all others, on all ranks alike.

        What cannot be kept is served as it is as long as a request holds it. Ranks that keep other rows than the others
        would miss other rows in the next step, so then they are lost."""
        for known in waiting:
            known.check()
        errors = agree_on_errors(self.ranks, [known.lost for known in waiting])
        for known, error in zip(waiting, errors, strict=True):
            known.settled, known.lost = True, error
            if error is None:
                self._try_to_keep(known)
            else:
                self._forget(known)

    def _forget(self, known: Known) -> None:
        for request in self._requests.values():
            self._drop(request, [item for item, one in request.held.items() if one is known])

    def _try_to_keep(self, known: Known) -> None:
        try:
            self._keep(known)
        except Exception as error:
            log.warning("rows of an item were not kept", exc_info=True)
            if self.ranks is not None:
                self.ranks.lose(error)

    def _keep(self, known: Known) -> None:
        cached = self.admit_rows(known)
        if cached is not None:
            known.encoded = cached
        elif known.from_tower and known.holders:
            known.encoded = owned(known.encoded)

    def admit_rows(self, known: Known) -> Encoded | None:
        """The cache's own copy of the rows, where it took them."""
        identity = Identity(known.key[0])
        if self.cache is None or not known.from_tower or known.epoch != self.epoch:
            return None
        if not self.cache.put(identity, known.epoch, known.encoded):
            return None
        return self.cache.get(identity, known.epoch)
