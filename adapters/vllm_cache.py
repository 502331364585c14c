"""vLLM's encoder cache as a ``Cache``, and items and requests in vLLM's words. Part of ``adapters/vllm.py``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import adapters.vllm_release as vllm_release
from plumbline.interface import (
    CapabilityMissing,
    Encoded,
    Identity,
    Item,
    PayloadMissing,
    Prepared,
    Runtime,
    Span,
)

vllm = vllm_release.load(vllm_release.folder())
_Scheduler: Any = vllm.vllm_v1_core_sched_scheduler.Scheduler
_Request: Any = vllm.vllm_v1_request.Request


class Scheduler(_Scheduler):  # type: ignore[misc]
    """The part of vLLM's scheduler that decides about encoder inputs. The rest of it is not built."""

    def __init__(self, embeds: int) -> None:
        manager = vllm.vllm_v1_core_encoder_cache_manager.EncoderCacheManager
        self.encoder_cache_manager = manager.create_manager(cache_size=embeds, vllm_config=None)
        self.encoder_cache_mismatch_reqs: set[str] = set()
        self.scheduler_config = SimpleNamespace(disable_chunked_mm_input=False)
        self.is_encoder_decoder = False
        self.ec_connector = None


class Request(_Request):  # type: ignore[misc]
    """The part of vLLM's request that its encoder scheduling reads."""

    def __init__(self, request_id: str, mm_features: list[Any], tokens: int) -> None:
        self.request_id = request_id
        self.mm_features = mm_features
        self.tokens = tokens
        self.num_computed_tokens = 0
        self.num_output_placeholders = 0


def tensors_of(item: Item) -> list[Tensor]:
    """The payload. Raises PayloadMissing, and CapabilityMissing where it has not moved yet."""
    if item.payload is None:
        raise PayloadMissing("an item without a payload")
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) < len(parts):
        raise CapabilityMissing("vLLM's hasher and scheduler are given tensors that are at hand")
    return tensors


def feature_of(identity: Identity, item: Item | None, spans: Sequence[Span]) -> Any:
    """One ``MultiModalFeatureSpec``. Several spans become one range with a mask, as vLLM describes a video's frames.

    Raises CapabilityMissing for spans that are not listed in ascending order.
    """
    if any(after[0] < before[1] for before, after in itertools.pairwise(spans)):
        raise CapabilityMissing("vLLM's rows lie in ascending order of positions")
    inputs = vllm.vllm_multimodal_inputs
    lo, hi = spans[0][0], spans[-1][1]
    mask = None
    if len(spans) > 1:
        mask = torch.zeros(hi - lo, dtype=torch.bool)
        for start, end in spans:
            mask[start - lo : end - lo] = True
    element = inputs.MultiModalFieldElem(data=item, field=inputs.MultiModalBatchedField())
    return inputs.MultiModalFeatureSpec(
        data=inputs.MultiModalKwargsItem({"items": element}),
        modality=item.modality.value if item else "image",
        identifier=identity.digest.hex(),
        mm_position=inputs.PlaceholderRange(offset=lo, length=hi - lo, is_embed=mask),
    )


def features_of(prepared: Prepared) -> list[Any]:
    """Features in the order of their positions, as vLLM wants them.

    Raises CapabilityMissing for items that interleave, and for payloads that are not there yet.
    """
    for item in prepared.items:
        tensors_of(item)
    pairs = zip(prepared.identities, prepared.items, strict=True)
    features = [feature_of(identity, item, item.spans) for identity, item in pairs if item.spans]
    features.sort(key=lambda feature: feature.mm_position.offset)
    ranges = [(f.mm_position.offset, f.mm_position.offset + f.mm_position.length) for f in features]
    if any(after[0] < before[1] for before, after in itertools.pairwise(ranges)):
        raise CapabilityMissing("vLLM's items do not interleave")
    return features


def joined(encoded: Encoded) -> Tensor:
    """[R, hidden_size * (1 + side_levels)], vLLM's form of rows with deepstack. Without side rows, the rows themselves."""
    return torch.cat([encoded.rows, *encoded.side], dim=1) if encoded.side else encoded.rows


def divided(rows: Tensor, hidden: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What ``joined`` joined: main rows, and one tensor for each side level."""
    main, *side = torch.split(rows, hidden, dim=1)
    return main, tuple(side)


class EncoderRows:
    """``Cache``: the two halves of vLLM's encoder cache, the scheduler's bookkeeping and the worker's tensors.

    Each ``get`` and ``put`` is a request of one item that ends at once. vLLM's identifiers know no epoch: it resets the
    cache when the weights change, and so does this for a ``put`` of another epoch. ``put`` on a present key with another
    number of rows is refused.
    """

    def __init__(self, runtime: Runtime) -> None:
        spec = runtime.spec
        self.hidden = spec.hidden_size
        self.row_bytes = spec.hidden_size * (1 + spec.side_levels) * spec.dtype.itemsize
        self.scheduler = Scheduler(runtime.budgets.cache_bytes // self.row_bytes)
        self.worker = vllm.vllm_v1_worker_gpu_mm_encoder_cache.EncoderCache()
        self.epoch = 0

    @property
    def manager(self) -> Any:
        return self.scheduler.encoder_cache_manager

    @property
    def nbytes(self) -> int:
        """What vLLM accounts for: it counts embeddings, not storage."""
        return int(self.manager.cache_size - self.manager.num_free_slots) * self.row_bytes

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        request = self._lone(identity, 1)
        if epoch != self.epoch or not self.manager.check_and_update_cache(request, 0):
            return None
        self.manager.free(request)
        return Encoded(*divided(self.worker.encoder_outputs[identity.digest.hex()], self.hidden))

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        if epoch != self.epoch:
            self.reset(epoch)
        rows = len(encoded.rows)
        request = self._lone(identity, rows)
        known = self.manager.get_cached_num_encoder_embeds(request, 0)
        if known is None:
            if not self.manager.can_allocate(request, 0, encoder_compute_budget=rows, num_embeds_to_schedule=0):
                return False
            self.manager.allocate(request, 0)
            self.manager.free(request)
            self.drop(self.manager.get_freed_mm_hashes())
        elif known != rows:
            return False
        self.worker.encoder_outputs[identity.digest.hex()] = joined(encoded)
        return True

    def clear(self) -> None:
        self.reset(self.epoch)

    def reset(self, epoch: int) -> None:
        """Both halves, as vLLM does for new weights."""
        self.scheduler.reset_encoder_cache()
        self.worker.reset_encoder_cache()
        self.epoch = epoch

    def drop(self, identifiers: Sequence[str]) -> None:
        for identifier in identifiers:
            self.worker.free_encoder_cache(identifier)

    def _lone(self, identity: Identity, rows: int) -> Request:
        return Request("", [feature_of(identity, None, [(0, rows)])], rows)
