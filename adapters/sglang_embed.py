"""SGLang's chunked embedding routine as ``Embed``, and its cache as ``Cache``.

SGLang finds, encodes, caches and places the rows. The adapter keeps the requests, because SGLang's scheduler, which
does it there, does not run here: unknown and repeated ids and chunks out of range are its own to refuse.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapters.sglang_items import fuse, images, inputs_of, key_of, name, to_sglang, unfuse
from adapters.sglang_release import release
from plumbline.interface import (
    BadChunk,
    Cache,
    CapabilityMissing,
    Chunk,
    DuplicateRequest,
    Encoded,
    Encoder,
    EncodingFailed,
    Failure,
    Identity,
    Item,
    Payload,
    PayloadMissing,
    PlumblineError,
    Prepared,
    RequestId,
    Rows,
    Runtime,
    TowerSpec,
    UnknownRequest,
)

ORIGIN = "plumbline_item"
"""Under this name a MultimodalDataItem carries the Item that it stands for, for the encoder."""


class SglangCache:
    """MultiModalStaticCache. It knows no epochs, and nothing in SGLang empties it when weights change."""

    def __init__(self, runtime: Runtime) -> None:
        self.inner = release().routine.MultiModalStaticCache(runtime.budgets.cache_bytes)
        self._hidden = runtime.spec.hidden_size

    @property
    def nbytes(self) -> int:
        return int(self.inner.current_size)

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        found = self.inner.get_single(key_of(identity))
        return None if found is None else unfuse(found.embedding, self._hidden)

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        key = key_of(identity)
        self.inner.free(key, None)  # SGLang's set keeps an entry that is there, so its routine frees it first, too
        return bool(self.inner.set(key, release().routine.EmbeddingResult(embedding=fuse(encoded))))

    def clear(self) -> None:
        self.inner.clear()


class ForeignCache:
    """Another implementation's cache, with the methods that SGLang's routine calls.

    names: SGLang's hash to identity, for the items of this step. A combined hash names several items at once.
    """

    def __init__(self, cache: Cache, hidden: int) -> None:
        self._cache, self._hidden = cache, hidden
        self.names: Mapping[int, Identity] = {}
        self.epoch = 0

    def get(self, hashes: list[int]) -> Any:
        return self.get_single(release().routine.MultiModalStaticCache.combine_hashes(hashes))

    def get_single(self, key: int) -> Any:
        found = self._cache.get(self._identity(key), self.epoch)
        return None if found is None else release().routine.EmbeddingResult(embedding=fuse(found))

    def set(self, key: int, result: Any) -> bool:
        return self._cache.put(self._identity(key), self.epoch, unfuse(result.embedding, self._hidden))

    def free(self, key: int, allocator: None) -> bool:
        """Nothing to do: SGLang frees what it is about to set again, and there ``put`` replaces."""
        return True

    def _identity(self, key: int) -> Identity:
        return self.names.get(key) or Identity(hashlib.sha256(b"sglang combined hash %d" % key).digest())


@dataclasses.dataclass(eq=False)
class SglangStep:
    """The routine has put rows into the cache by the time it returns, so settling has nothing to do."""

    results: Sequence[Rows | Failure]

    def settle(self) -> list[Failure]:
        return []


@dataclasses.dataclass(eq=False)
class Model:
    """What SGLang asks of a model besides its encoder."""

    spec: TowerSpec

    @property
    def deepstack_visual_indexes(self) -> range:
        return range(self.spec.side_levels)

    def separate_deepstack_embeds(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        return embedding[:, : self.spec.hidden_size], embedding[:, self.spec.hidden_size :]

    @property
    def deepstack(self) -> dict[Any, bool]:
        return dict.fromkeys(release().batch.Modality, True) if self.spec.side_levels else {}


@dataclasses.dataclass(frozen=True, eq=False)
class _Admitted:
    """inputs: SGLang's view of the request. ids: CPU int64, padded. positions: CPU int64, of all rows, ascending."""

    inputs: Any
    ids: Tensor
    positions: Tensor
    names: Mapping[int, Identity]


@dataclasses.dataclass(frozen=True, eq=False)
class _ForwardBatch:
    """The two fields of SGLang's ForwardBatch that the routine reads."""

    mm_inputs: list[Any]
    extend_seq_lens_cpu: list[int]


class SglangEmbed:
    def __init__(self, runtime: Runtime, encoder: Encoder, cache: Cache | None) -> None:
        spec = runtime.spec
        self._model, self._device, self._encoder = Model(spec), runtime.port.device, encoder
        # The rows of a step are wanted without a token table: SGLang looks all text up in one row of zeros.
        zeros = torch.zeros((1, 1), dtype=spec.dtype, device=self._device).expand(spec.vocab_size, spec.hidden_size)
        self._table = torch.nn.Embedding(spec.vocab_size, spec.hidden_size, _weight=zeros, _freeze=True)
        if isinstance(cache, SglangCache):
            self._cache: Any = cache.inner
        elif cache is None:
            self._cache = release().routine.MultiModalStaticCache(0)
        else:
            self._cache = ForeignCache(cache, spec.hidden_size)
        self._held: dict[RequestId, _Admitted] = {}
        self._epoch = 0

    def admit(self, prepared: Prepared) -> None:
        """Raises DuplicateRequest, and CapabilityMissing for a payload that SGLang's own transport did not bring."""
        where = f"request {prepared.request_id}"
        if prepared.request_id in self._held:
            raise DuplicateRequest("the id is in use", where=where)
        if any(_is_lazy(item.payload) for item in prepared.items):
            raise CapabilityMissing(
                "payloads that are not tensors: SGLang's are CUDA IPC or shared memory", where=where
            )
        parts, names = [], {}
        for item, identity in zip(prepared.items, prepared.identities, strict=True):
            part = name(to_sglang(item), identity)
            part.model_specific_data[ORIGIN] = item
            names[part.hash] = identity
            if item.spans:  # SGLang's items come of spans in the prompt, so one without a span does not arise there
                parts.append(part)
        # SGLang's processors find an item's spans by scanning the prompt (get_mm_items_offset), one modality at a time,
        # so within a modality its routine is always given items in the order of the prompt.
        parts.sort(key=lambda part: part.offsets[0])
        inputs = inputs_of(parts, self._model.spec)
        ids = release().pad(prepared.token_ids.tolist(), inputs)
        positions = sorted(p for item in prepared.items for lo, hi in item.spans for p in range(lo, hi))
        self._held[prepared.request_id] = _Admitted(
            inputs, torch.tensor(ids), torch.tensor(positions, dtype=torch.int64), names
        )

    def step(self, chunks: Sequence[Chunk]) -> SglangStep:
        results: dict[int, Rows | Failure] = {}
        good: dict[int, Chunk] = {}
        seen: set[RequestId] = set()
        for at, chunk in enumerate(chunks):
            error = self._refusal(chunk, seen)
            seen.add(chunk.request_id)
            if error is None:
                good[at] = chunk
            else:
                results[at] = Failure(chunk.request_id, error)
        results.update(zip(good, self._embed(list(good.values())), strict=True))
        return SglangStep([results[at] for at in range(len(chunks))])

    def _refusal(self, chunk: Chunk, seen: set[RequestId]) -> PlumblineError | None:
        where = f"request {chunk.request_id}"
        if chunk.request_id not in self._held:
            return UnknownRequest("no such request is admitted", where=where)
        if chunk.request_id in seen:
            return BadChunk("the second chunk in one step", where=where)
        tokens = len(self._held[chunk.request_id].ids)
        if not 0 <= chunk.lo < chunk.hi <= tokens:
            return BadChunk(f"[{chunk.lo}, {chunk.hi}) is empty, or outside the {tokens} tokens", where=where)
        return None

    @torch.no_grad()
    def _embed(self, chunks: Sequence[Chunk]) -> list[Rows | Failure]:
        if not chunks:
            return []
        try:
            embeds, other = self._run(chunks)
        except PlumblineError as error:
            return [Failure(c.request_id, error) for c in chunks]  # one call for the batch: all of it is lost
        except Exception as error:
            lost = PlumblineError(
                f"SGLang raised {type(error).__name__} for the whole step: {error}",
                where=f"request {chunks[0].request_id}",
            )
            return [Failure(c.request_id, lost) for c in chunks]
        deep = other.get("input_deepstack_embeds")
        results: list[Rows | Failure] = []
        start = 0
        for c in chunks:
            every = self._held[c.request_id].positions
            positions = every[(every >= c.lo) & (every < c.hi)]
            at = (positions - c.lo + start).to(self._device)
            side = () if deep is None else torch.split(deep[at], self._model.spec.hidden_size, 1)
            results.append(Rows(c.request_id, c.lo, c.hi, positions, embeds[at], tuple(side)))
            start += c.hi - c.lo
        return results

    def _run(self, chunks: Sequence[Chunk]) -> tuple[Tensor, dict[str, Tensor]]:
        """SGLang's routine on one batch: embeddings of all its tokens, and those of deeper layers."""
        S = release()
        requests = [self._held[c.request_id] for c in chunks]
        if isinstance(self._cache, ForeignCache):
            self._cache.epoch = self._epoch
            self._cache.names = {key: identity for r in requests for key, identity in r.names.items()}
        S.routine.embedding_cache = self._cache  # SGLang keeps one for the process; here each Embed has its own
        with_items = [(c, r.inputs) for c, r in zip(chunks, requests, strict=True) if r.inputs.mm_items]
        # SGLang divides a batch by this function where rows come of an encoder process, which is where an item has
        # precomputed_embeddings. Without such rows it is embed_mm_inputs.
        found: tuple[Tensor, dict[str, Tensor]] = S.utils._embed_mm_inputs_with_split(
            mm_inputs_list=[inputs for _, inputs in with_items],
            extend_prefix_lens=[c.lo for c, _ in with_items],
            extend_seq_lens=[c.hi - c.lo for c, _ in with_items],
            input_ids=torch.cat([r.ids[c.lo : c.hi] for c, r in zip(chunks, requests, strict=True)]).to(self._device),
            forward_batch=_ForwardBatch(
                [r.inputs if r.inputs.mm_items else None for r in requests], [c.hi - c.lo for c in chunks]
            ),
            input_embedding=self._table,
            multimodal_model=self._model,
            data_embedding_func_mapping=dict.fromkeys(S.batch.Modality, self._encode),
            use_deepstack=self._model.deepstack,
        )
        return found

    def _encode(self, parts: list[Any]) -> Tensor:
        """SGLang's data_embedding_func: rows of what it found missing, concatenated."""
        items: list[Item] = []
        for part in parts:
            item: Item = part.model_specific_data[ORIGIN]
            if part.feature is None:
                if item.payload is None:
                    raise PayloadMissing("no payload, and no rows in the cache")
                raise EncodingFailed("SGLang asked its encoder for an item that has rows and no feature")
            payload: Payload = tuple(part.feature) if isinstance(part.feature, list) else part.feature
            items += images(dataclasses.replace(item, payload=payload))
        rows = []
        for encoded in self._encoder.encode(items):
            if isinstance(encoded, PlumblineError):
                raise encoded
            rows.append(fuse(encoded))
        return torch.cat(rows)

    def retract(self, request_id: RequestId) -> None:
        """SGLang keeps a retracted request's features, and nothing else of it here."""
        self._request(request_id)

    def finish(self, request_id: RequestId) -> None:
        self._request(request_id).inputs.release_features()
        del self._held[request_id]

    def set_epoch(self, epoch: int) -> None:
        """What a weight update does to the embedding cache in SGLang: nothing. It flushes the KV cache alone, and
        goes on with the requests that run (Scheduler.flush_cache). Another implementation's cache is told the epoch."""
        self._epoch = epoch

    def _request(self, request_id: RequestId) -> _Admitted:
        if request_id not in self._held:
            raise UnknownRequest("no such request is admitted", where=f"request {request_id}")
        return self._held[request_id]


def _is_lazy(payload: Payload) -> bool:
    parts = payload if isinstance(payload, tuple) else (payload,)
    return any(part is not None and not isinstance(part, Tensor) for part in parts)
