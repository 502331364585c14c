"""The one interface: what flows through a vision feature path, and the parts that move it.

    Request -> prepare -> Prepared -> publish -> message -> receive -> Prepared on a rank
            -> admit -> step -> Rows -> merge -> Merged

Read it top to bottom: data, errors, parts, implementation. It imports torch and nothing else, so that two
implementations can share it without sharing any logic. ``conformance.md`` says what each part must do.

Words. *Item*: one image, video or audio clip of a request. *Span*: half-open range of token positions that holds an
item's placeholders. *Payload*: what the tower reads (patches or tiles) or, for a precomputed item, its rows. *Row*: one
vector of the language model's input embeddings. *Side rows*: the same rows for deeper layers (Qwen3-VL's deepstack).
*Chunk*: the half-open range of a prompt that one step prefills. *Epoch*: a number that names one state of the weights.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

Span: TypeAlias = tuple[int, int]
RequestId: TypeAlias = str


# --------------------------------------------------------------------------------------------------------------- data


class Modality(enum.Enum):
    """What an item shows. The tower's layout for a modality says how its payload is cut into rows."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


class Source(enum.Enum):
    """Where a payload comes from: this engine's processor, the caller's own processor, or the caller's own encoder."""

    PIXELS = "pixels"
    PREPROCESSED = "preprocessed"
    PRECOMPUTED = "precomputed"


class Trust(enum.Enum):
    """TRUSTED: the key stands for the content, which is not read. VERIFIED: the content is hashed as well."""

    TRUSTED = "trusted"
    VERIFIED = "verified"


@dataclass(frozen=True)
class CallerKey:
    """A caller's own name for an image, valid inside one tenant. Compared as a whole, never shortened or parsed."""

    tenant: str
    key: str
    trust: Trust


@dataclass(frozen=True, eq=False)
class Extra:
    """A model-specific value that travels with an item (frame rate, crop box, ...).

    value: bool, int, float, str, bytes or CPU tensor; with ``per_image`` a tuple of these, one for each image of a bundle. A
        tensor shows at most a mebibyte more than its storage holds. What is of a subclass, such as numpy's float64, counts
        as the plain value that it is.
    affects_rows: whether the tower reads it, so that it belongs to the item's identity.
    """

    value: object
    affects_rows: bool
    per_image: bool = False


@dataclass(frozen=True)
class TensorMeta:
    """Shape, dtype, bytes and place of a payload that has not been opened."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    nbytes: int
    device: torch.device


@runtime_checkable
class Feature(Protocol):
    """A payload that has not moved yet: what ``receive`` puts in the place of a tensor. Holds no device memory."""

    meta: TensorMeta

    def ready(self) -> bool:
        """Host poll, never waits: schedule on this. False for a payload that is gone."""
        ...

    def open(self, device: torch.device) -> Tensor:
        """The payload on ``device``, usable in order on the current stream. Idempotent until released. May be a view of
        what others read too: never written. Raises PayloadMissing for what is gone, fenced or released."""
        ...

    def release(self) -> None:
        """Acknowledges, after the work queued on the current stream. Idempotent."""
        ...

    def check(self) -> None:
        """Host, once the device has finished what reads the payload, and before release. Raises LeaseLost if it was fenced
        off before that, so that its rows must not be used. After release it says what was known then."""
        ...


Part: TypeAlias = Tensor | Feature
Payload: TypeAlias = Part | tuple[Part, ...] | None


@dataclass(frozen=True, eq=False)
class Item:
    """One image, video or audio clip; inside a ``Request`` also a *bundle* of several images or videos with grids.

    Without a grid an item is always one image, however many tensors and spans it has. A bundle's spans are dealt out by
    row counts: each image takes spans, in the order listed, until its rows are covered.

    payload: [P, *patch_shape] (PIXELS, PREPROCESSED) or [R, hidden_size * (1 + side_levels)] (PRECOMPUTED: main row,
        then one row per side level). A tuple divides the same along dim 0 (the slices of a tile model), and the division
        is part of the content. Any strides; zero-size allowed. In a Request tensors only: features come of transport.
        None: the reader is known to hold the rows (transport only).
    spans: positions of the placeholders, in row order: row k belongs to the k-th position when the spans are walked in
        the order in which they are listed, which need not be ascending. Empty for an item of zero rows.
    grid_thw: CPU int64 [n, 3] in patches (frames, height, width), n = 1 unless a bundle. None: tile models.
    extras: by name; after preparation none is ``per_image``. given: empty, or one key for each image.
    """

    modality: Modality
    source: Source
    payload: Payload
    spans: tuple[Span, ...]
    grid_thw: Tensor | None = None
    extras: Mapping[str, Extra] = field(default_factory=dict)
    given: tuple[CallerKey, ...] = ()


@dataclass(frozen=True, eq=False)
class Request:
    """token_ids: CPU int64 [N], placeholders already expanded, at most a mebibyte more of them than their storage holds.
    items: in any order, bundles allowed."""

    request_id: RequestId
    token_ids: Tensor
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Identity:
    """What an item is, for caches: at least 16 bytes, equal exactly where the content is equal."""

    digest: bytes


@dataclass(frozen=True, eq=False)
class Prepared:
    """A validated request. items: one per image, grids [1, 3]. identities: one per item.

    prefix_keys: CPU int64 [N]; ``prefix_keys[lo:hi]`` is what a prefix cache compares. A text position holds its token id.
    """

    request_id: RequestId
    token_ids: Tensor
    items: tuple[Item, ...]
    identities: tuple[Identity, ...]
    prefix_keys: Tensor


@dataclass(frozen=True)
class Chunk:
    """Positions [lo, hi) of one request, to be prefilled in this step."""

    request_id: RequestId
    lo: int
    hi: int


@dataclass(frozen=True, eq=False)
class Encoded:
    """rows: [R, hidden_size], spec.dtype. side: one [R, hidden_size] per side level. Any strides; may view a batch."""

    rows: Tensor
    side: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one chunk. positions: CPU int64 [M], ascending, absolute, inside [lo, hi). rows: [M, hidden_size].

    side: one [M, hidden_size] per side level. A chunk without placeholders has M = 0, never None. Read-only, and valid
    until the request's next chunk or its end.
    """

    request_id: RequestId
    lo: int
    hi: int
    positions: Tensor
    rows: Tensor
    side: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Merged:
    """embeds: [N, hidden_size]. mask: CPU bool [N], the placeholder positions. side: [mask.sum(), hidden_size] each. All of them
    are the caller's, who may write into them."""

    embeds: Tensor
    mask: Tensor
    side: tuple[Tensor, ...]


# ------------------------------------------------------------------------------------------------------------- errors


class PlumblineError(Exception):
    """Base of all typed errors. what: the fact. where: request, item or position. hint: what the caller can do."""

    advice: ClassVar[str] = ""
    """The hint of the class, for an error that has none of its own."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        hint = hint or self.advice
        super().__init__(
            " ".join(part for part in (f"{where}:" if where else "", what, f"({hint})" if hint else "") if part)
        )
        self.what, self.where, self.hint = what, where, hint


class MalformedRequest(PlumblineError):
    """The request contradicts itself or the tower's specification. Sending it again will not help."""

    advice = "send a request that agrees with plumbline.interface"


class BadTokens(MalformedRequest):
    """token_ids are not a CPU int64 vector, or a text id lies outside the vocabulary."""

    advice = "send the prompt's ids as torch.int64, placeholders expanded"


class BadSpans(MalformedRequest):
    """A span is empty, out of range, overlaps another, covers text, or a placeholder belongs to no item."""

    advice = "give each placeholder to exactly one item"


class BadGrid(MalformedRequest):
    """A grid is missing or unexpected, not CPU int64 [n, 3], not positive, not divisible, or beyond 2^31 patches."""

    advice = "send the processor's grid_thw as CPU int64, one row for each image"


class BadPayload(MalformedRequest):
    """A payload has the wrong dtype, rank, patch shape or layout (sparse, quantized, meta, requires_grad)."""

    advice = "send plain tensors of the tower's patch shape and one of its dtypes"


class BadExtra(MalformedRequest):
    """An extra has an unsupported type, or its values or the given keys are not one per image."""

    advice = "send bool, int, float, str, bytes or CPU tensors, one for each image where so marked"


class RowCountMismatch(MalformedRequest):
    """Payload, grid and spans disagree about how many patches or rows there are."""

    advice = "expand as many placeholders as the tower's layout gives rows"


class DuplicateRequest(MalformedRequest):
    """The request id is in use."""

    advice = "use another id, or finish the first request"


class TooLarge(PlumblineError):
    """An item is larger than the budget for one item."""

    advice = "scale the image down, or raise the budget for one item"


class PayloadMissing(PlumblineError):
    """No payload came, and the rows are not held here. Send it again with its payload."""

    advice = "send it again with its payload"


class EncodingFailed(PlumblineError):
    """The tower raised on this item."""

    advice = "look at the cause; other requests were not harmed"


class RanksLost(PlumblineError):
    """Ranks that share the work did not answer in time, or ended. What needed them fails, now and later."""

    advice = "start the ranks again"


class LeaseLost(PlumblineError):
    """The payload was fenced off while it was read. Its rows were not kept; send it again."""

    advice = "send the request again"


class BadMessage(PlumblineError):
    """The bytes are not a message of a version that this side reads."""

    advice = "use the same version on both sides"


class BadCheckpoint(PlumblineError):
    """The folder does not hold the configuration and weights of a tower that can be loaded here."""

    advice = "name a folder with config.json and *.safetensors of one of the families that are supported"


class UnknownRequest(PlumblineError):
    """No such request is admitted."""

    advice = "admit it first"


class BadChunk(PlumblineError):
    """The chunk is empty, out of range, or the second of its request in one step."""

    advice = "send one chunk of each request in a step, with 0 <= lo < hi <= tokens"


class EpochChanged(PlumblineError):
    """The weights changed after this request was served a chunk. Retract it and start again."""

    advice = "retract the request and start it again"


class CapabilityMissing(PlumblineError):
    """This implementation does not claim what the request needs. Returned as a failure by prepare, raised by admit,
    set_epoch and merge (for ``out``)."""

    advice = "see the capabilities that the implementation claims"


@dataclass(frozen=True, eq=False)
class Failure:
    """The one result of a request that did not succeed."""

    request_id: RequestId
    error: PlumblineError


# -------------------------------------------------------------------------------------------------------------- tower


@dataclass(frozen=True)
class Layout:
    """How one modality's payload becomes rows.

    With a grid, ``merge * merge`` patches of a frame give one row and each frame is one attention segment; where
    ``pools_frames``, all frames of an item are one attention segment and share the rows of one frame (Kimi-K2.5's videos).
    Without, each payload tensor is one attention segment and every entry of dim 0 (a tile) gives ``rows_per_tile`` rows.
    """

    placeholder_id: int
    patch_shape: tuple[int, ...]
    has_grid: bool
    merge: int = 1
    rows_per_tile: int = 1
    pools_frames: bool = False


@dataclass(frozen=True, eq=False)
class TowerSpec:
    """Everything about a tower that other parts may know.

    dtype: of rows. payload_dtypes: of patches. vocab_size: of the language model; a placeholder id may lie beyond it.
    moves_input: the tower brings a host payload to its device itself, so that nobody else moves it.
    """

    name: str
    hidden_size: int
    side_levels: int
    vocab_size: int
    dtype: torch.dtype
    payload_dtypes: frozenset[torch.dtype]
    layouts: Mapping[Modality, Layout]
    moves_input: bool = False


@dataclass(frozen=True, eq=False)
class PackedItem:
    """What a tower knows of one item in a call. parts: dim 0 of each payload tensor. extras: only what affects rows."""

    modality: Modality
    grid_thw: tuple[int, int, int] | None
    parts: tuple[int, ...]
    extras: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Packed:
    """One tower call. patches: [P, *patch_shape], of one dtype and patch shape; modalities may mix.

    cu_seqlens: CPU int64 [S + 1], attention segments from 0 to P.
    """

    patches: Tensor
    cu_seqlens: Tensor
    items: tuple[PackedItem, ...]


class Tower(Protocol):
    """Pure arithmetic: the same packed items give the same rows, whatever else is in the call (NUM-001).

    How many rows an item has is its layout's to say. epoch: that of the weights, 0 at first; the engine changes the weights
    and this number, then calls ``Embed.set_epoch``.
    """

    spec: TowerSpec
    epoch: int

    def __call__(self, packed: Packed) -> Encoded:
        """Rows of all items, concatenated in their order."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A tower to be loaded. folder: ``config.json`` and ``*.safetensors`` with Hugging Face names, of the vision tower alone or
    of the whole model. dtype: of weights, arithmetic and rows. The rest is the language model's."""

    folder: Path
    dtype: torch.dtype
    image_token_id: int
    video_token_id: int
    vocab_size: int


class LoadedTower(Tower, Protocol):
    """A tower from a checkpoint, on ``device``. Called in torch's inference mode or outside of it, one call as the next.

    row_floor: each linear gets at least so many rows, padded where there are fewer; may be set between calls.
    linear_shapes: (outputs, inputs) of the linears with few rows to be measured by a certificate of invariance.
    """

    row_floor: int

    @property
    def device(self) -> torch.device: ...

    @property
    def linear_shapes(self) -> tuple[tuple[int, int], ...]: ...

    def update(self, folder: Path, epoch: int) -> None:
        """Other weights of the same configuration, in order on the current stream: a call before has the old ones, a call
        after the new ones. Work that is queued on other streams is in no order with it, unless the caller makes them wait
        for each other. Raises BadCheckpoint, and then nothing has changed."""
        ...


@runtime_checkable
class FusesLinears(Protocol):
    """What a ``LoadedTower`` also is that evaluates some linears together with what follows them, by kernels of their own."""

    def fused_linears(self) -> Mapping[tuple[int, int], Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """By shape (outputs, inputs): (x [n, inputs], weight, bias) -> [n, outputs], as the tower evaluates it."""
        ...


# -------------------------------------------------------------------------------------------------------------- parts


class Collect(Protocol):
    def __call__(self, request_id: RequestId, token_ids: Tensor, processed: Mapping[str, Tensor]) -> Request:
        """The output of a Hugging Face processor as a request, with one bundle for each modality.

        token_ids: CPU int64 [N], placeholders expanded. processed: ``pixel_values`` and ``image_grid_thw``,
        ``pixel_values_videos`` and ``video_grid_thw``, on any device; other names are not looked at. Each placeholder of a
        modality belongs to the first image of its grids that has rows left; neighbours are one span. Payloads stay where
        they are. Raises BadTokens, BadGrid, BadSpans, BadPayload, RowCountMismatch.
        """
        ...


class Identify(Protocol):
    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        """One identity, or one error, per one-image item, in order. Reads payloads, changes and moves nothing."""
        ...


class Prepare(Protocol):
    def __call__(self, requests: Sequence[Request]) -> list[Prepared | Failure]:
        """Validates, splits bundles, attaches identities and prefix keys. One result per request, in order."""
        ...


class Encoder(Protocol):
    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        """One result per item, in order. The driver around any tower: packing, budget, moves, isolation of failures."""
        ...


class Cache(Protocol):
    """Rows by identity and epoch. Owns a copy of what it keeps. ``put`` on a present key replaces its rows."""

    @property
    def nbytes(self) -> int:
        """Storage bytes held now; never above the budget."""
        ...

    def get(self, identity: Identity, epoch: int) -> Encoded | None: ...

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        """False: refused (it does not fit at all), and nothing else was evicted for it."""
        ...

    def clear(self) -> None: ...


class Step(Protocol):
    results: Sequence[Rows | Failure]
    """One per chunk, in the order of the chunks."""

    def settle(self) -> list[Failure]:
        """Host, once, after the step's work: checks the leases, then admits rows to the cache. Steps are settled in their
        order; the next one may have begun, and requests may have been retracted or finished and weights changed meanwhile.

        A failure here takes back the result of that request. Rows for which there is no memory are not kept, which is none.
        With ranks a collective, as ``Embed.step`` is."""
        ...


class Embed(Protocol):
    """Requests on one rank, and the rows of their chunks. The epoch is 0 at first.

    admit, retract, finish and set_epoch raise typed errors, and a raise changes nothing. step never raises for a chunk: its
    failures are results, and the request stays admitted until finish. The encoder opens lazy payloads (on the port's
    device) and never releases them; Embed releases them, opened or not, in finish at the latest, and never opens one after.
    With ranks, step and settle are collectives: all ranks call everything here in the same order, with the same requests.
    """

    def admit(self, prepared: Prepared) -> None: ...

    def step(self, chunks: Sequence[Chunk]) -> Step: ...

    def retract(self, request_id: RequestId) -> None:
        """The request goes back to the queue: its next chunk may start anywhere, and gives the same rows."""
        ...

    def finish(self, request_id: RequestId) -> None:
        """Done or aborted, in any state: releases what the request holds."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """The tower's weights are now those of ``epoch``."""
        ...


class Merge(Protocol):
    def __call__(
        self,
        rows: Sequence[Rows],
        token_ids: Tensor,
        embed_tokens: Callable[[Tensor], Tensor],
        out: Tensor | None = None,
    ) -> Merged:
        """Input embeddings of a step. token_ids: CPU int64, ``ids[lo:hi]`` of each of ``rows``, concatenated.

        embed_tokens: int64 ids inside the vocabulary -> [n, hidden_size] of the rows' dtype, in memory that its next call may
            write again.
        out: [N, hidden_size] to write into.
        """
        ...


# ---------------------------------------------------------------------------------------------------------- transport
#
# A worker publishes prepared requests to the ranks that will run them. Payloads wait in a place that the worker owns, under
# a *lease*: it ends when every reader has released it, was declared lost, or gave no sign of life for ``lease_seconds``. A
# lease that ended otherwise than by release is *fenced*: whoever still reads learns it from ``check``. Nobody waits.


class Ticket(Protocol):
    """A published request. message: the same bytes to every reader."""

    message: bytes

    def cancel(self) -> None:
        """Ends the lease for all readers: the message was not sent, or the request is gone. Idempotent; without effect
        on a place that is already somebody else's."""
        ...


class Slot(Protocol):
    """Space under a lease that a processor writes payloads into: one writable tensor for each meta, contiguous.

    A request whose payloads are exactly these tensors is published where it lies, once. cancel: gives the space back.
    """

    tensors: Sequence[Tensor]

    def cancel(self) -> None: ...


class Publisher(Protocol):
    """One worker's side. Used from one thread."""

    @property
    def leased(self) -> int:
        """Payload bytes that are under a lease or reserved now."""
        ...

    def reserve(self, metas: Sequence[TensorMeta], readers: frozenset[int]) -> Slot | None:
        """Space for the payloads of one request. None: there is none now, so produce them elsewhere. readers: as far as they
        are known; a lease is for those that ``publish`` names."""
        ...

    def publish(self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()) -> Ticket:
        """Puts payloads where ``readers`` find them: where those are nobody, the lease is over when the worker collects.
        held: identities whose rows all of them hold; their payloads stay away. What does not fit travels in the message.
        Raises typed errors, and a raise leaves no lease behind, and what was reserved before as it was."""
        ...

    def collect(self) -> None:
        """Takes back what every reader released, and fences what a silent reader keeps. reserve and publish do it for room."""
        ...

    def lost(self, reader: int) -> None:
        """That rank is dead: its part in every lease ends now."""
        ...

    def close(self) -> None:
        """Ends all leases and removes everything global. Idempotent."""
        ...


class Subscriber(Protocol):
    """One rank's side. Used from one thread; on a device, what opens, reads and releases is in order, as on one stream."""

    def receive(self, message: bytes) -> Prepared:
        """Moves and opens no payload; those under a lease are ``Feature``. Raises BadMessage."""
        ...

    def beat(self) -> None:
        """A sign of life to all workers; due well within each ``lease_seconds``. Costs a few words."""
        ...

    def lost(self, worker: int) -> None:
        """That worker is dead: removes what it left behind. Its payloads may be refused from now on, on all ranks."""
        ...

    def close(self) -> None:
        """Releases every payload that is still under a lease here. Idempotent."""
        ...


class Transport(Protocol):
    """Factories of both sides; each is called once for a worker or rank, in that one's process. Numbers count from 0."""

    def publisher(self, worker: int) -> Publisher: ...

    def subscriber(self, rank: int) -> Subscriber: ...


# ----------------------------------------------------------------------------------------------------- implementation


class DevicePort(Protocol):
    """Where rows live. An implementation that claims PORT brings tensors there by no other way.

    Streams and events are those of ``torch.get_device_module(device)``. A *word* is an int64 tensor of one element in host
    memory, registered if processes share it; it is written whole, and after everything that was ordered before it.
    """

    device: torch.device

    def move(self, tensor: Tensor) -> Tensor:
        """``tensor`` in the memory of ``device``, in order on the current stream; itself where it is there already. What
        ``attach`` gave may be elsewhere, whatever its ``.device``, and is then copied, once."""
        ...

    def pinned(self, nbytes: int) -> Tensor:
        """uint8 [nbytes] of host memory that a non-blocking copy may read or write. Costly: keep it."""
        ...

    def register(self, memory: Tensor) -> None:
        """Host memory that processes share is to this device what ``pinned`` gives, as long as its storage lasts: uint8
        [nbytes], the whole storage. Costly. Raises OSError."""
        ...

    def share(self, nbytes: int) -> tuple[Tensor, bytes]:
        """uint8 [nbytes] in the memory of ``device`` that other processes of this host can attach, and their handle to it,
        of at most 120 bytes. Freed with its storage. Raises OSError: there is none, or not so much."""
        ...

    def attach(self, handle: bytes) -> Tensor:
        """What another port shares, uint8 [nbytes], mapped on ``device`` as long as its storage lasts. Nothing moves, and
        no other device is made known to this process. Costly. Raises OSError: there is none, or no way to it."""
        ...

    def write(self, word: Tensor, value: int) -> None:
        """``value`` into ``word`` once the work that is queued on the current stream has finished. Never waits."""
        ...

    def wait(self, word: Tensor, value: int) -> None:
        """The current stream goes on when ``word`` is at least ``value``, which another process may write. The host does
        not wait; where there is no stream to wait, raises PayloadMissing unless the word is there already."""
        ...


class Ranks(Protocol):
    """The ranks that share the encoding of a step. Every method is a collective: all ranks call the same ones, in the same
    order and with the same sizes, or all of them hang until they give up. Raises RanksLost. ``plumbline.ranks.join`` gives
    some over torch.distributed."""

    rank: int
    size: int

    def agree(self, words: Tensor) -> Tensor:
        """CPU int64 [n] -> CPU int64 [size, n], what each rank gave. Host to host; the host waits for all ranks."""
        ...

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """[counts[rank], width] on the port's device -> those of all ranks, by rank. In order on the current stream; on a
        device the host does not wait, except perhaps the first time, when ranks connect."""
        ...


@dataclass(frozen=True)
class Domain:
    """What the workers and ranks of one engine share.

    name: of this engine on this host; everything global bears it. pool_bytes: payload memory of all workers together, on
    the host. device_bytes: the same on devices; each worker's share lies on its port's device, and takes payloads from there.
    lease_seconds: a rank that gave no sign of life for so long is taken for dead; infinite: none is. clock: seconds, the same
    in all processes.
    """

    name: str = "plumbline"
    workers: int = 1
    ranks: int = 1
    pool_bytes: int = 0
    lease_seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    device_bytes: int = 0


@dataclass(frozen=True)
class Budgets:
    """cache_bytes: storage of cached rows. patches_per_call: one tower call, unless a single item is larger.

    item_patches: the largest item that is admitted.
    """

    cache_bytes: int
    patches_per_call: int
    item_patches: int


@dataclass(frozen=True, eq=False)
class Runtime:
    """What every factory gets. ranks: with whom the encoding of a step is shared; None: with nobody."""

    spec: TowerSpec
    port: DevicePort
    budgets: Budgets
    domain: Domain = Domain()
    ranks: Ranks | None = None


class Retention(enum.StrEnum):
    """What is kept of a lazy payload, so that a retracted request can run again: its lease until the request finishes, a copy
    on the host, the rows, or nothing, so that the request has to be sent again."""

    LEASE = "lease"
    HOST = "host"
    ROWS = "rows"
    RESEND = "resend"


class Capability(enum.StrEnum):
    """What an implementation may leave out. Images with grids, bundles, several requests, chunks, prefix hits, retraction,
    abort and isolation are the core and cannot be left out."""

    VIDEO = "video"
    TILES = "tiles"
    SEVERAL_SPANS = "several-spans"
    PRECOMPUTED = "precomputed"
    CALLER_KEYS = "caller-keys"
    SIDE_ROWS = "side-rows"
    EXTRAS = "extras"
    LAZY = "lazy"
    EPOCHS = "epochs"
    PORT = "port"
    BATCHING = "batching"
    DEDUPE = "dedupe"
    HOLDING = "holding"
    CACHE = "cache"
    DIGEST_V1 = "digest-v1"
    MERGE_OUT = "merge-out"
    TRANSPORT = "transport"
    DEVICE = "device"
    GRAPHS = "graphs"
    RANKS = "ranks"
    TOWERS = "towers"


@dataclass(frozen=True, eq=False)
class Implementation:
    """One implementation of the path, or of some parts. A part left out is filled in from the reference, and shown so.

    Except cache: None means that no rows are kept across steps. Factories are called many times in one process, and what
    they return is used in turn, from one thread at a time, which need not be the one that made it.
    """

    name: str
    version: str
    capabilities: frozenset[Capability] = frozenset()
    retention: Retention = Retention.LEASE
    tower: Callable[[Checkpoint, DevicePort], LoadedTower] | None = None
    collect: Callable[[TowerSpec], Collect] | None = None
    identify: Callable[[Runtime], Identify] | None = None
    prepare: Callable[[Runtime, Identify], Prepare] | None = None
    transport: Callable[[Runtime], Transport] | None = None
    encoder: Callable[[Runtime, Tower], Encoder] | None = None
    cache: Callable[[Runtime], Cache] | None = None
    embed: Callable[[Runtime, Encoder, Cache | None], Embed] | None = None
    merge: Callable[[Runtime], Merge] | None = None
