"""vLLM's own code behind ``plumbline.interface``, on a CPU, from its published source.

    PLUMBLINE_VLLM=FOLDER python -m plumbline.conformance --impl adapters/vllm.py:implementation

What decides is vLLM's, unmodified: ``MultiModalHasher`` makes the identities; ``Scheduler`` and ``EncoderCacheManager``
say what is cached, what may be encoded and what is evicted; ``EncoderRunner`` and the worker's ``EncoderCache`` encode, keep
the rows and cut them for a chunk. This file only says the same thing in the words of the interface. Prepare, encoder and
merge are not vLLM's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

import adapters.vllm_release as vllm_release
from adapters.vllm_cache import EncoderRows, Request, divided, features_of, joined, tensors_of, vllm
from plumbline.interface import (
    BadChunk,
    BadPayload,
    Cache,
    Capability,
    CapabilityMissing,
    Chunk,
    DuplicateRequest,
    Encoder,
    Failure,
    Identify,
    Identity,
    Implementation,
    Item,
    PlumblineError,
    Prepared,
    RequestId,
    RowCountMismatch,
    Rows,
    Runtime,
    Source,
    TowerSpec,
    UnknownRequest,
)

# ----------------------------------------------------------------------------------------------------------- identity


class Media(list[object]):
    """What vLLM's ``ModalityDataItems`` offers to be hashed."""

    def get_all_items_for_hash(self) -> list[object]:
        return list(self)


def media_of(item: Item) -> dict[str, object]:
    """The item as a client sends vLLM processed inputs: a mapping of the processor's output fields.

    vLLM hashes media before it processes them. An ``Item`` comes after, so it corresponds to an input that is processed
    already, whose grid is part of the media. Raises PayloadMissing and CapabilityMissing.
    """
    kind = "embeds" if item.source is Source.PRECOMPUTED else "values"
    media: dict[str, object] = {f"{item.modality.value}_{kind}": tensors_of(item)}
    if item.grid_thw is not None:
        media[f"{item.modality.value}_grid_thw"] = item.grid_thw
    return media


def identify_with(spec: TowerSpec) -> Identify:
    """vLLM's ``ProcessorInputs.get_mm_hashes``. Extras that affect rows are its ``mm_processor_kwargs``, as given."""

    def identify(items: Sequence[Item]) -> list[Identity | PlumblineError]:
        results: list[Identity | PlumblineError] = []
        for item in items:
            modality = item.modality.value
            try:
                inputs = vllm.vllm_multimodal_processing_inputs.ProcessorInputs(
                    prompt=[],
                    mm_data_items={modality: Media([media_of(item)])},
                    hf_processor_mm_kwargs={k: extra.value for k, extra in item.extras.items() if extra.affects_rows},
                )
                results.append(Identity(bytes.fromhex(inputs.get_mm_hashes(spec.name, "blake3")[modality][0])))
            except PlumblineError as error:
                results.append(error)
            except (RuntimeError, TypeError, ValueError) as error:
                results.append(BadPayload(f"vLLM's hasher: {error}"))
        return results

    return identify


# -------------------------------------------------------------------------------------------------------------- embed


class Model:
    """What vLLM's runner calls to encode one batch. Raises the first error, as a model would."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def embed_multimodal(self, items: list[Item]) -> list[Tensor]:
        rows = []
        for encoded in self._encoder.encode(items):
            if isinstance(encoded, PlumblineError):
                raise encoded
            rows.append(joined(encoded))
        return rows


@dataclass(eq=False)
class Serving:
    """A chunk on its way. at: first position that is not served yet. positions, rows: of the pieces served so far."""

    chunk: Chunk
    request: Request
    at: int
    positions: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    error: PlumblineError | None = None


@dataclass(eq=False)
class Done:
    """The ``Step``. Rows are kept before it, as vLLM keeps them."""

    results: Sequence[Rows | Failure]

    def settle(self) -> list[Failure]:
        return []


class Embed:
    """vLLM's scheduler and runner in a loop: one step of the interface is as many steps of vLLM as its cache needs.

    Where the scheduler shortens a chunk for want of space, the rest is its next step. Where it could not go on at all
    before other requests go on or end, the item that blocks is encoded for this step and not kept: the interface has no
    "not now". An encoder error ends vLLM's engine; here it fails all chunks of vLLM's step and empties the cache.
    """

    def __init__(self, runtime: Runtime, encoder: Encoder, cache: EncoderRows) -> None:
        self._spec = runtime.spec
        self._device = runtime.port.device
        self._cache = cache
        self._runner = vllm.vllm_v1_worker_gpu_mm_encoder_runner.EncoderRunner(
            model=Model(encoder),
            max_num_tokens=0,
            hidden_size=runtime.spec.hidden_size,
            encoder_cache=cache.worker,
            dtype=runtime.spec.dtype,
            device=self._device,
        )
        self._requests: dict[RequestId, Request] = {}

    # -- requests

    def admit(self, prepared: Prepared) -> None:
        name = prepared.request_id
        if name in self._requests:
            raise DuplicateRequest("the id is in use", where=f"request {name}")
        self._requests[name] = Request(name, features_of(prepared), len(prepared.token_ids))
        self._cache.worker.add_request(name, self._requests[name].mm_features)

    def retract(self, request_id: RequestId) -> None:
        self._cache.manager.free(self._known(request_id))

    def finish(self, request_id: RequestId) -> None:
        self._cache.manager.free(self._known(request_id))
        self._cache.worker.remove_request(request_id)
        del self._requests[request_id]

    def set_epoch(self, epoch: int) -> None:
        if epoch != self._cache.epoch:
            self._cache.reset(epoch)

    def _known(self, request_id: RequestId) -> Request:
        if request_id not in self._requests:
            raise UnknownRequest("no such request is admitted", where=f"request {request_id}")
        return self._requests[request_id]

    # -- steps

    def step(self, chunks: Sequence[Chunk]) -> Done:
        plans: list[Serving | Failure] = []
        seen: set[RequestId] = set()
        for chunk in chunks:
            try:
                plans.append(self._serving(chunk, seen))
            except PlumblineError as error:
                plans.append(Failure(chunk.request_id, error))
        unfinished = [plan for plan in plans if isinstance(plan, Serving)]
        passing: set[str] = set()
        while unfinished:
            self._go_on(unfinished, passing)
            unfinished = [s for s in unfinished if s.error is None and s.at < s.chunk.hi]
        self._cache.drop([name for name in passing if name not in self._cache.manager.cached])
        return Done([self._result(plan) if isinstance(plan, Serving) else plan for plan in plans])

    def _serving(self, chunk: Chunk, seen: set[RequestId]) -> Serving:
        request, where = self._known(chunk.request_id), f"request {chunk.request_id}"
        if chunk.request_id in seen:
            raise BadChunk("the second chunk of its request in one step", where=where)
        seen.add(chunk.request_id)
        if not 0 <= chunk.lo < chunk.hi <= request.tokens:
            raise BadChunk(f"empty, or outside the {request.tokens} tokens", where=where)
        return Serving(chunk, request, chunk.lo)

    def _go_on(self, servings: Sequence[Serving], passing: set[str]) -> None:
        """One step of vLLM: schedule, encode, gather, free. passing: identifiers to drop after the interface's step."""
        scheduler = self._cache.scheduler
        tokens: dict[RequestId, int] = {}
        inputs: dict[RequestId, list[int]] = {}
        for s in servings:
            name, s.request.num_computed_tokens = s.request.request_id, s.at
            new, count, _, _, again = scheduler._try_schedule_encoder_inputs(
                s.request, s.at, s.chunk.hi - s.at, encoder_compute_budget=sys.maxsize
            )
            if name in scheduler.encoder_cache_mismatch_reqs:
                scheduler.encoder_cache_mismatch_reqs.discard(name)
                s.error = RowCountMismatch("the cache holds this identity with another number of rows")
            elif count:
                scheduler._allocate_encoder_inputs(s.request, new, again)
                tokens[name], inputs[name] = count, new
        waiting = [s for s in servings if s.error is None]
        if waiting and not tokens:
            self._let_pass(waiting[0], tokens, inputs, passing)
        running = [s for s in waiting if s.request.request_id in tokens]
        passing.update(self._cache.manager.get_freed_mm_hashes())
        try:
            self._encode(inputs)
        except PlumblineError as error:
            for s in waiting:
                s.error = error
            self._cache.clear()
        else:
            self._gather(running, tokens)

    def _let_pass(
        self,
        serving: Serving,
        tokens: dict[RequestId, int],
        inputs: dict[RequestId, list[int]],
        passing: set[str],
    ) -> None:
        """Plans the item that blocks, up to its end, without the cache. Text between its rows needs no encoding."""
        request, at = serving.request, serving.at
        index, _ = vllm.vllm_multimodal_utils.get_mm_features_in_window(request.mm_features, start=at, end=at + 1)
        position = request.mm_features[index].mm_position
        end = min(serving.chunk.hi, position.offset + position.length)
        first, last = position.get_embeds_indices_in_range(at - position.offset, end - position.offset)
        tokens[request.request_id] = end - at
        inputs[request.request_id] = [index] if first < last else []
        passing.add(request.mm_features[index].identifier)

    def _encode(self, inputs: dict[RequestId, list[int]]) -> None:
        """What vLLM's ``ModelState.execute_mm_encoder`` does. Raises an item's error."""
        identifiers, arguments = self._runner.prepare_mm_inputs(inputs)
        if arguments:
            rows = self._runner.execute_mm_encoder(arguments)
            self._cache.worker.encoder_outputs.update(zip(identifiers, rows, strict=True))

    def _gather(self, servings: Sequence[Serving], tokens: dict[RequestId, int]) -> None:
        if not servings:
            return
        names = [s.request.request_id for s in servings]
        counts = np.array([tokens[name] for name in names])
        starts = np.concatenate([[0], counts.cumsum()])
        pieces, mask = self._runner.gather_mm_embeddings(
            names,
            total_num_scheduled_tokens=int(counts.sum()),
            num_scheduled_tokens=counts,
            query_start_loc=starts,
            prefill_lens=np.array([s.request.tokens for s in servings]),
            num_computed_tokens=np.array([s.at for s in servings]),
        )
        masks = torch.split(mask, counts.tolist())
        every = torch.cat(pieces) if pieces else self._no_rows()
        for s, own, rows in zip(servings, masks, torch.split(every, [int(m.sum()) for m in masks]), strict=True):
            s.positions.append(own.nonzero()[:, 0] + s.at)
            s.rows.append(rows)
            s.at += len(own)
            s.request.num_computed_tokens = s.at
            self._cache.scheduler._free_encoder_inputs(s.request)

    def _no_rows(self) -> Tensor:
        width = self._spec.hidden_size * (1 + self._spec.side_levels)
        return torch.empty(0, width, dtype=self._spec.dtype, device=self._device)

    def _result(self, s: Serving) -> Rows | Failure:
        if s.error is not None:
            return Failure(s.chunk.request_id, s.error)
        rows, side = divided(torch.cat(s.rows), self._spec.hidden_size)
        return Rows(s.chunk.request_id, s.chunk.lo, s.chunk.hi, torch.cat(s.positions), rows, side)


def embed(runtime: Runtime, encoder: Encoder, cache: Cache | None) -> Embed:
    """Raises CapabilityMissing for any cache but vLLM's own, which is where its runner keeps the rows."""
    if not isinstance(cache, EncoderRows):
        raise CapabilityMissing("vLLM's runner works out of vLLM's own cache")
    return Embed(runtime, encoder, cache)


implementation = Implementation(
    name="vLLM",
    version=vllm_release.version(vllm_release.folder()),
    capabilities=frozenset(
        {
            *(Capability.VIDEO, Capability.TILES, Capability.PRECOMPUTED, Capability.SIDE_ROWS, Capability.EXTRAS),
            *(Capability.EPOCHS, Capability.PORT, Capability.DEDUPE, Capability.CACHE, Capability.MERGE_OUT),
        }
    ),
    identify=lambda runtime: identify_with(runtime.spec),
    cache=EncoderRows,  # its nbytes is only to be read
    embed=embed,
)
