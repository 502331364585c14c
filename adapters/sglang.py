"""SGLang's published code behind ``plumbline.interface``: splitting, hashing, pad values, padding of prompts, the chunked
embedding routine with its batching and cache, masks, scatter and merge.

What SGLang decides is left to SGLang, right or wrong; the adapter translates. ``sglang_release.py`` says which release
runs and how it is found, ``sglang_items.py`` how items are translated, ``sglang_embed.py`` holds the routine and the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapters.sglang_embed import Model, SglangCache, SglangEmbed
from adapters.sglang_items import from_sglang, inputs_of, name, runs, to_sglang
from adapters.sglang_release import release
from plumbline.interface import (
    BadPayload,
    BadTokens,
    Capability,
    CapabilityMissing,
    DuplicateRequest,
    Encoded,
    EncodingFailed,
    Failure,
    Identify,
    Identity,
    Implementation,
    Item,
    MalformedRequest,
    Merged,
    Packed,
    PackedItem,
    PayloadMissing,
    PlumblineError,
    Prepared,
    Request,
    RequestId,
    Rows,
    Runtime,
    Source,
    Span,
    Tower,
    TowerSpec,
)


class SglangIdentify:
    """SGLang's hash of an item: 64 bits of SHA-256 over the bytes of its payload."""

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        return [self._one(item) for item in items]

    @staticmethod
    def _one(item: Item) -> Identity | PlumblineError:
        if item.payload is None:
            return PayloadMissing("there is nothing to hash")
        try:
            part = to_sglang(item)
            part.set_pad_value()
            return Identity(part.hash.to_bytes(8, "big"))
        except Exception as error:
            return BadPayload(f"SGLang could not hash it: {type(error).__name__}: {error}")


class SglangPrepare:
    """SGLang checks next to nothing of a request before it embeds it, so next to nothing is refused."""

    def __init__(self, runtime: Runtime, identify: Identify) -> None:
        self._spec, self._identify = runtime.spec, identify

    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        results: list[Prepared | Failure] = []
        seen: set[RequestId] = set()
        for request in requests:
            where = f"request {request.request_id}"
            try:
                if request.request_id in seen:  # SGLang's tokenizer manager refuses a request id in use
                    raise DuplicateRequest("the second of this id in one call", where=where)
                seen.add(request.request_id)
                results.append(self._one(request, where))
            except PlumblineError as error:
                results.append(Failure(request.request_id, error))
            except Exception as error:
                said = f"SGLang could not prepare it: {type(error).__name__}: {error}"
                results.append(Failure(request.request_id, MalformedRequest(said, where=where)))
        return results

    def _one(self, request: Request, where: str) -> Prepared:
        ids = request.token_ids
        if not isinstance(ids, Tensor) or ids.dtype is not torch.int64 or ids.dim() != 1:
            raise BadTokens("SGLang takes a list of integers", where=where)
        if any(item.given for item in request.items):
            raise CapabilityMissing("SGLang's callers name images by 64 bits and no tenant", where=where)
        items: list[Item] = []
        parts: list[Any] = []
        for item in request.items:
            split = release().utils.get_new_expanded_mm_items([to_sglang(item)])
            parts += split
            items += [from_sglang(part, item) for part in split]
        identities: list[Identity] = []
        for k, identity in enumerate(self._identify(items)):
            if isinstance(identity, PlumblineError):
                raise type(identity)(identity.what, where=identity.where or f"{where}: item {k}", hint=identity.hint)
            identities.append(identity)
            name(parts[k], identity)
        keys = release().pad(ids.tolist(), inputs_of(parts, self._spec))
        return Prepared(
            request.request_id,
            request.token_ids,
            tuple(items),
            tuple(identities),
            torch.tensor(keys, dtype=torch.int64),
        )


@dataclass(frozen=True, eq=False)
class SglangEncoder:
    """Packs as SGLang's model functions do: everything that it is given in one call, without budget or isolation.

    One tower call has one dtype and patch shape, for which SGLang's models cast; items are not cast here, so that those
    of another dtype take another call.
    """

    runtime: Runtime
    tower: Tower

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        results: dict[int, Encoded | PlumblineError] = {}
        groups: dict[object, list[int]] = {}
        for k, item in enumerate(items):
            if item.payload is None:
                results[k] = PayloadMissing("an item without a payload")
                continue
            tensors = self._tensors(item)
            if item.source is Source.PRECOMPUTED:
                columns = torch.split(self.runtime.port.move(torch.cat(tensors)), self.tower.spec.hidden_size, 1)
                results[k] = Encoded(columns[0], columns[1:])
            else:
                groups.setdefault((tensors[0].dtype, tensors[0].shape[1:]), []).append(k)
        for group in groups.values():
            try:
                results.update(zip(group, self._call([items[k] for k in group]), strict=True))
            except Exception as error:
                failed = EncodingFailed(f"the tower raised {type(error).__name__}: {error}")
                results.update(dict.fromkeys(group, failed))
        return [results[k] for k in range(len(items))]

    def _tensors(self, item: Item) -> list[Tensor]:
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        return [p if isinstance(p, Tensor) else p.open(self.runtime.port.device) for p in parts if p is not None]

    @torch.no_grad()
    def _call(self, items: Sequence[Item]) -> list[Encoded]:
        tensors = [self._tensors(item) for item in items]
        packed = [_packed(item, parts) for item, parts in zip(items, tensors, strict=True)]
        patches = torch.cat([t for parts in tensors for t in parts])
        if not self.tower.spec.moves_input:
            patches = self.runtime.port.move(patches)
        lengths = [n for item in packed for n in _segments(item, self.tower.spec)]
        seqlens = torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
        encoded = self.tower(Packed(patches, seqlens, tuple(packed)))
        counts = [_rows(item, self.tower.spec) for item in packed]
        levels = [torch.split(level, counts) for level in (encoded.rows, *encoded.side)]
        return [Encoded(rows, tuple(side)) for rows, *side in zip(*levels, strict=True)]


def _packed(item: Item, tensors: Sequence[Tensor]) -> PackedItem:
    grid = None
    if item.grid_thw is not None:
        frames, height, width = item.grid_thw[0].tolist()
        grid = (frames, height, width)
    extras = {n: e.value for n, e in item.extras.items() if e.affects_rows}
    return PackedItem(item.modality, grid, tuple(len(t) for t in tensors), extras)


def _segments(item: PackedItem, spec: TowerSpec) -> Sequence[int]:
    if item.grid_thw is None:
        return item.parts
    frames, height, width = item.grid_thw
    return [sum(item.parts)] if spec.layouts[item.modality].pools_frames else [height * width] * frames


def _rows(item: PackedItem, spec: TowerSpec) -> int:
    layout = spec.layouts[item.modality]
    if item.grid_thw is None:
        return sum(item.parts) * layout.rows_per_tile
    frames, height, width = item.grid_thw
    return (1 if layout.pools_frames else frames) * height * width // layout.merge**2


class Table:
    """A token embedding as SGLang reads one."""

    def __init__(self, embed_tokens: Callable[[Tensor], Tensor], spec: TowerSpec) -> None:
        self.num_embeddings, self._embed_tokens = spec.vocab_size, embed_tokens

    def __call__(self, ids: Tensor) -> Tensor:
        return self._embed_tokens(ids).clone()  # as that of an embedding layer is, which keeps none of it


class LanguageModel:
    """Gives back the input embeddings that SGLang's routine hands to a language model, and those of deeper layers."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get_input_embeddings(self) -> Table:
        return self._table

    def __call__(self, *, input_embeds: Tensor, input_deepstack_embeds: Tensor | None = None, **_: object) -> Any:
        return input_embeds, input_deepstack_embeds


class Prefill:
    """A ForwardBatch of one chunk for each of the inputs: what SGLang's routine reads of one."""

    spec_algorithm = None

    def __init__(self, inputs: Sequence[Any], chunks: Sequence[Span], out: Tensor | None = None) -> None:
        self.forward_mode = self
        self.mm_inputs = list(inputs)
        self.extend_prefix_lens_cpu = [lo for lo, _ in chunks]
        self.extend_seq_lens_cpu = [hi - lo for lo, hi in chunks]
        self.input_embeds = out

    def is_decode(self) -> bool:
        return False

    def is_target_verify(self) -> bool:
        return False

    def contains_mm_inputs(self) -> bool:
        return any(inputs is not None for inputs in self.mm_inputs)


@dataclass(frozen=True, eq=False)
class SglangMerge:
    """SGLang's general_mm_embed_routine, with the chunks' rows as precomputed embeddings and no encoder."""

    runtime: Runtime

    @torch.no_grad()
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        spec, device = self.runtime.spec, self.runtime.port.device
        pad = release().batch.MM_PAD_SHIFT_VALUE
        inputs, ids, masks = [], [], []
        for r, text in zip(rows, torch.split(token_ids, [r.hi - r.lo for r in rows]), strict=True):
            mask = torch.zeros(r.hi - r.lo, dtype=torch.bool)
            mask[r.positions - r.lo] = True
            masks.append(mask)
            ids.append(text.masked_fill(mask, pad))
            inputs.append(inputs_of([self._item(r, pad)], spec) if len(r.positions) else None)
        model = Model(spec)
        embeds, deep = release().utils.general_mm_embed_routine(
            input_ids=torch.cat(ids).to(device),
            forward_batch=Prefill(inputs, [(r.lo, r.hi) for r in rows], out),
            language_model=LanguageModel(Table(embed_tokens, spec)),
            multimodal_model=model,
            data_embedding_funcs=dict.fromkeys(release().batch.Modality, _no_encoder),
            use_deepstack=model.deepstack,
        )
        mask = torch.cat(masks)
        if not spec.side_levels:
            return Merged(embeds, mask, ())
        if deep is None:  # SGLang passes nothing to the deeper layers of a batch without images
            deep = embeds.new_empty(len(mask), spec.hidden_size * spec.side_levels)
        return Merged(embeds, mask, tuple(torch.split(deep[mask.to(device)], spec.hidden_size, 1)))

    @staticmethod
    def _item(rows: Rows, pad: int) -> Any:
        batch = release().batch
        return batch.MultimodalDataItem(
            modality=batch.Modality.IMAGE,
            hash=0,
            pad_value=pad,
            offsets=[(lo, hi - 1) for lo, hi in runs(rows.positions.tolist())],
            precomputed_embeddings=torch.cat((rows.rows, *rows.side), 1),
        )


def _no_encoder(parts: Sequence[Any]) -> Tensor:
    raise EncodingFailed(f"SGLang asked for {len(parts)} items whose rows were given")


CAPABILITIES = frozenset(
    {
        *(Capability.VIDEO, Capability.TILES, Capability.SEVERAL_SPANS, Capability.PRECOMPUTED, Capability.SIDE_ROWS),
        *(Capability.EXTRAS, Capability.CACHE, Capability.MERGE_OUT, Capability.EPOCHS),
    }
)
"""EPOCHS: SGLang updates weights in place, so it is asked what its cache gives afterwards."""

implementation = Implementation(
    name="sglang",
    version=release().version,
    capabilities=CAPABILITIES
    | ({Capability.BATCHING, Capability.DEDUPE} if release().encodes_across_requests else frozenset()),
    identify=lambda runtime: SglangIdentify(),
    prepare=SglangPrepare,
    encoder=SglangEncoder,
    cache=SglangCache,  # nbytes is SGLang's count, so it is read-only
    embed=SglangEmbed,
    merge=SglangMerge,
)
