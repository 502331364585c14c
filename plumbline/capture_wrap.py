"""Any implementation under the hook of ``capture.py``: what it does in the harness's engine becomes a trace."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from plumbline.capture import Capture, ItemMeta
from plumbline.interface import (
    Cache,
    Chunk,
    Embed,
    Encoded,
    Encoder,
    Failure,
    Feature,
    Identity,
    Implementation,
    Item,
    Modality,
    PlumblineError,
    Prepared,
    Rows,
    Runtime,
    Source,
    Step,
    Trust,
)


def captured(implementation: Implementation, capture: Capture) -> Implementation:
    """The same, and what it does is written. For one run, since a trace is of one engine."""
    inner, engine = implementation.embed, f"{implementation.name} {implementation.version}"
    assert inner

    def embed(runtime: Runtime, encoder: Encoder, cache: Cache | None) -> Embed:
        names: dict[int, Identity] = {}
        hooked = _Cache(cache, capture) if cache is not None else None
        around = _Encoder(encoder, names, capture)
        return _Embed(inner(runtime, around, hooked), names, capture, runtime, engine)

    return dataclasses.replace(implementation, embed=embed)


def parts_of(item: Item) -> tuple[Tensor | Feature, ...]:
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    return tuple(part for part in parts if part is not None)


def meta_of(item: Item, identity: Identity, keys: Tensor) -> ItemMeta:
    """keys: the prefix keys of the item's request."""
    parts = [part.shape if isinstance(part, Tensor) else part.meta.shape for part in parts_of(item)]
    dtypes = [part.dtype if isinstance(part, Tensor) else part.meta.dtype for part in parts_of(item)]
    given = item.given[0] if item.given else None
    extras: Mapping[str, tuple[object, bool]] = {name: (e.value, e.affects_rows) for name, e in item.extras.items()}
    return ItemMeta(
        modality=item.modality.value,
        digest=identity.digest,
        spans=item.spans,
        grid=item.grid_thw.flatten().tolist() if item.grid_thw is not None else None,
        parts=[shape[0] for shape in parts],
        dtype=str(dtypes[0]).removeprefix("torch.") if dtypes else "uint8",
        source=item.source.value,
        pad=b"".join(keys[lo:hi].numpy().tobytes() for lo, hi in item.spans) or None,
        extras=extras,
        tenant=given.tenant if given else None,
        key=given.key if given else None,
        trusted=given is not None and given.trust is Trust.TRUSTED,
    )


class _Embed:
    """names: identities by the id() of items and payloads, as long as their request keeps these alive."""

    def __init__(
        self, embed: Embed, names: dict[int, Identity], capture: Capture, runtime: Runtime, engine: str
    ) -> None:
        self._embed, self._names, self._capture = embed, names, capture
        self._prepared: dict[str, Prepared] = {}
        spec, image = runtime.spec, runtime.spec.layouts[Modality.IMAGE]
        grid = next((layout for layout in spec.layouts.values() if layout.has_grid), image)
        tiles = next((layout for layout in spec.layouts.values() if not layout.has_grid), image)
        row = spec.hidden_size * (1 + spec.side_levels) * spec.dtype.itemsize
        capture.engine(
            engine,
            cache_rows=runtime.budgets.cache_bytes // row,
            patches_per_call=runtime.budgets.patches_per_call,
            hidden=spec.hidden_size,
            patch_shape=image.patch_shape,
            image="grid" if image.has_grid else "tiles",
            merge=grid.merge,
            rows_per_tile=tiles.rows_per_tile,
            pools_frames=grid.pools_frames,
            side_levels=spec.side_levels,
            row_dtype=str(spec.dtype).removeprefix("torch."),
        )

    def admit(self, prepared: Prepared) -> None:
        self._embed.admit(prepared)
        pairs = list(zip(prepared.items, prepared.identities, strict=True))
        metas = [meta_of(item, identity, prepared.prefix_keys) for item, identity in pairs]
        self._capture.request(prepared.request_id, len(prepared.token_ids), metas)
        self._prepared[prepared.request_id] = prepared
        self._names.update({id(thing): identity for item, identity in pairs for thing in (*parts_of(item), item)})

    def step(self, chunks: Sequence[Chunk]) -> Step:
        self._capture.step([(c.request_id, c.lo, c.hi) for c in chunks])
        step = self._embed.step(chunks)
        self._capture.results(
            [(r.request_id, len(r.positions) if isinstance(r, Rows) else type(r.error).__name__) for r in step.results]
        )
        return _Step(step, self._capture)

    def retract(self, request_id: str) -> None:
        self._embed.retract(request_id)
        self._capture.retract(request_id)

    def finish(self, request_id: str) -> None:
        self._embed.finish(request_id)
        self._capture.finish(request_id)
        self._prepared.pop(request_id, None)
        alive = (thing for p in self._prepared.values() for item in p.items for thing in (*parts_of(item), item))
        keep = {id(thing) for thing in alive}
        for name in self._names.keys() - keep:
            del self._names[name]

    def set_epoch(self, epoch: int) -> None:
        self._embed.set_epoch(epoch)
        self._capture.epoch(epoch)


class _Step:
    def __init__(self, step: Step, capture: Capture) -> None:
        self.results, self._step, self._capture = step.results, step, capture

    def settle(self) -> list[Failure]:
        failures = self._step.settle()
        self._capture.settled()
        if failures:
            self._capture.results([(f.request_id, type(f.error).__name__) for f in failures])
        return failures


class _Encoder:
    def __init__(self, encoder: Encoder, names: Mapping[int, Identity], capture: Capture) -> None:
        self._encoder, self._names, self._capture = encoder, names, capture

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results = self._encoder.encode(items)
        seen = [
            (self._digest(item), len(result.rows) if isinstance(result, Encoded) else None)
            for item, result in zip(items, results, strict=True)
            if item.source is not Source.PRECOMPUTED
        ]
        if seen:
            self._capture.encoded(seen)
        return results

    def _digest(self, item: Item) -> bytes | None:
        """Also of an item that the implementation made anew around the same payload."""
        found = next((self._names[id(t)] for t in (item, *parts_of(item)) if id(t) in self._names), None)
        return found.digest if found else None


class _Cache:
    def __init__(self, cache: Cache, capture: Capture) -> None:
        self._cache, self._capture = cache, capture

    @property
    def nbytes(self) -> int:
        return self._cache.nbytes

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        found = self._cache.get(identity, epoch)
        self._capture.cache(
            "miss" if found is None else "hit", identity.digest, 0 if found is None else len(found.rows)
        )
        return found

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        kept = self._cache.put(identity, epoch, encoded)
        self._capture.cache("put" if kept else "refuse", identity.digest, len(encoded.rows))
        return kept

    def clear(self) -> None:
        self._cache.clear()
        self._capture.cache("clear")
