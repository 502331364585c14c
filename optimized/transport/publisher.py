"""A worker's side of transport: puts payloads into its pool, and says in a message where they are."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from optimized.identify import unusable
from optimized.transport import messages
from optimized.transport.pool import Lease, Pool
from optimized.transport.words import sweep
from plumbline.interface import BadPayload, Identity, PlumblineError, Prepared, Runtime, TensorMeta

log = logging.getLogger(__name__)
HOST, MESSAGES = "host memory", "their messages"
"""Where payloads travel that have no place in the pool where they are."""


class PoolTicket:
    """A message, and the lease of its payloads; None where none is in the pool."""

    def __init__(self, message: bytes, pool: Pool | None, lease: Lease | None) -> None:
        self.message = message
        self._pool, self._lease = pool, lease

    def cancel(self) -> None:
        if self._pool is not None and self._lease is not None:
            self._pool.end(self._lease)


class PoolSlot:
    """A reserved place; none where there is nothing to put. Its tensors are nobody's after ``cancel``, and the readers'
    once they were published.

    give_back: of the lease, in order after what is queued on the current stream.
    """

    def __init__(self, tensors: Sequence[Tensor], lease: Lease | None, give_back: Callable[[Lease], None]) -> None:
        self.tensors = tensors
        self._lease, self._give_back = lease, give_back

    def cancel(self) -> None:
        if self._lease is not None and not self._lease.granted:
            self._give_back(self._lease)


class PoolPublisher:
    """Publishes into one segment or, where that has no room, into the messages. leased: payload bytes in use.

    Payloads on a device go into the segment's space there or, where that has no room, into the one in host memory. Nothing
    waits for them: their copies are queued on the current stream, and so is the word that says that they are there.

    Payloads that all lie in one reserved slot, each contiguous, are published where they are: the slot's tensors, or views
    such as the images of a bundle. What lies in a slot that is no longer reserved is refused with BadPayload. If publishing
    raises, everything is as before: the slot is still reserved.
    """

    pool_type = Pool

    def __init__(self, runtime: Runtime, worker: int) -> None:
        self.port = runtime.port
        self.ranks = frozenset(range(runtime.domain.ranks))
        self.worker = worker
        self._buffer = bytearray(len(messages.MAGIC))
        self._warned: set[str] = set()
        self._pool: Pool | None = None
        try:
            sweep(runtime.domain, worker)
            self._pool = self.pool_type(runtime.domain, worker, runtime.port)
        except OSError as error:
            self._warn(f"no pool ({error})")
        if self._pool is not None and self._pool.segment.refusal:
            self._warn(f"no pool on {runtime.port.device} ({self._pool.segment.refusal})", HOST)

    @property
    def leased(self) -> int:
        return self._pool.leased if self._pool else 0

    def reserve(self, metas: Sequence[TensorMeta], readers: frozenset[int]) -> PoolSlot | None:
        """Tensors of the shapes, dtypes and devices of ``metas``. ``publish`` names the readers that count."""
        self._check(readers)
        pool = self._pool
        sizes = [math.prod(meta.shape) * meta.dtype.itemsize for meta in metas]
        if pool is None or not all(pool.segment.lies_on(meta.device) for meta in metas):
            return None
        if not any(sizes):
            empty = [torch.empty(meta.shape, dtype=meta.dtype, device=meta.device) for meta in metas]
            return PoolSlot(empty, None, self._give_back)
        lease = self._place(pool, sizes, [meta.device.type != "cpu" for meta in metas])
        if lease is None:
            return None
        tensors = [
            pool.segment.tensor(start, tuple(meta.shape), meta.dtype)
            for start, meta in zip(lease.starts, metas, strict=True)
        ]
        return PoolSlot(tensors, lease, self._give_back)

    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        self._check(readers)
        pool = self._pool
        parts, places, lease = self._payloads(prepared, held)
        in_place = lease is not None
        if pool is not None and parts and not in_place:
            lease, placed = self._room(pool, parts)
            places = dict(zip(map(id, placed), lease.starts, strict=True)) if lease is not None else {}
        try:
            wire = None
            if pool is not None and lease is not None:
                if not in_place:
                    self._fill(pool, placed, lease.starts)
                pool.grant(lease, readers)
                self._ready(pool, lease)
                wire = messages.WireLease(self.worker, pool.segment.stamp, lease.slot, lease.generation)
            message = messages.encode(prepared, wire if parts else None, places, held, self._buffer)
        except BaseException:
            if pool is not None and lease is not None:
                if in_place:
                    pool.withdraw(lease)
                else:
                    self._give_back(lease)
            raise
        ticket = PoolTicket(message, pool, lease)
        if not parts:  # all of a slot's payloads are held by the readers
            ticket.cancel()
        return ticket

    def collect(self) -> None:
        if self._pool is not None:
            self._pool.collect()

    def lost(self, reader: int) -> None:
        self._check({reader})
        if self._pool is not None:
            self._pool.lost(reader)

    def close(self) -> None:
        """Publishing goes on afterwards, in messages."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    # ------------------------------------------------------------------------------------------------------- payloads

    def _payloads(
        self, prepared: Prepared, held: frozenset[Identity]
    ) -> tuple[list[Tensor], dict[int, int], Lease | None]:
        """The distinct tensors that have any bytes and travel; where those lie that are in slots, by id(); and the reserved
        slot that all of the request's can be published in. Raises BadPayload."""
        pool = self._pool
        parts: dict[int, Tensor] = {}
        places: dict[int, int] = {}
        slots: list[Lease | None] = []
        for item, identity in zip(prepared.items, prepared.identities, strict=False):
            for part in messages.payload_tensors(item):
                if reason := unusable(part):
                    raise BadPayload(reason, where=messages.where_of(prepared), hint="publish plain tensors")
                if not part.numel():
                    continue
                if identity not in held:
                    parts[id(part)] = part
                start = pool.segment.offset(part) if pool is not None else -1
                if pool is None or start < 0:
                    slots.append(None)
                    continue
                slot = pool.reserved(start)
                if slot is None:
                    what = "a payload lies in a slot that was published or cancelled"
                    raise BadPayload(what, where=messages.where_of(prepared), hint="reserve another")
                plain = part.is_contiguous() and not part.is_conj() and not part.is_neg()
                slots.append(slot if plain and slot.holds(start, start + part.nbytes) else None)
                places[id(part)] = start
        same = bool(slots) and all(slot is slots[0] for slot in slots)
        return list(parts.values()), places, slots[0] if same else None

    def _room(self, pool: Pool, parts: list[Tensor]) -> tuple[Lease | None, list[Tensor]]:
        """Places for the parts, or for some of them: where they are, or else all in host memory, or else on the device."""
        device = pool.segment.device is not None
        on_device = [device and not part.is_cpu for part in parts]
        sizes = [part.nbytes for part in parts]
        if (lease := self._place(pool, sizes, on_device)) is not None:
            return lease, parts
        free = f"of its pool, {pool.space} are free in host memory, and {pool.on_device} on {self.port.device}"
        if any(on_device) and (lease := self._place(pool, sizes, [False] * len(parts))) is not None:
            self._warn(free, HOST)
            return lease, parts
        self._warn(free, MESSAGES)
        there = [part for part in parts if device and not part.is_cpu]
        sizes = [part.nbytes for part in there]
        return (self._place(pool, sizes, [True] * len(there)) if there else None), there

    def _place(self, pool: Pool, sizes: Sequence[int], on_device: Sequence[bool]) -> Lease | None:
        lease = pool.reserve(sizes, on_device)
        if lease is None:
            self.collect()
            lease = pool.reserve(sizes, on_device)
        return lease

    def _fill(self, pool: Pool, parts: Sequence[Tensor], starts: Iterable[int]) -> None:
        """One copy of each, from any strides and device, in order on the current stream."""
        for part, start in zip(parts, starts, strict=True):
            # Copying bools as bools would make 1 of every other true byte.
            source = part.view(torch.uint8) if part.dtype is torch.bool else part
            if not source.is_cpu and source.device != self.port.device:
                source = self.port.move(source)  # to the host, torch would copy on that device's stream
            if source.is_conj() or source.is_neg():
                # torch would conjugate a copy on the host at once, before the bytes are there.
                source = source.resolve_conj().resolve_neg()
            pool.segment.tensor(start, tuple(source.shape), source.dtype).copy_(source, non_blocking=True)

    def _give_back(self, lease: Lease) -> None:
        """Of what is, or may be, written to by what is queued on the current stream."""
        if self._pool is not None and self._pool.has(lease):
            self._ready(self._pool, lease)
            self._pool.end(lease)

    def _ready(self, pool: Pool, lease: Lease) -> None:
        """Says that the payloads are there, once what is queued on the current stream is done."""
        lease.queued = lease.generation
        self.port.write(pool.segment.ready_word(lease.slot), lease.generation)

    # --------------------------------------------------------------------------------------------------------- checks

    def _check(self, readers: Iterable[int]) -> None:
        if not self.ranks.issuperset(readers):
            strangers = sorted(set(readers) - self.ranks)
            raise PlumblineError(
                f"readers {strangers}, where there are {len(self.ranks)} ranks", hint="see Domain.ranks"
            )

    def _warn(self, what: str, instead: str = MESSAGES) -> None:
        """The first time that payloads have to go elsewhere; later ones would hide everything else."""
        if instead not in self._warned:
            self._warned.add(instead)
            log.warning("worker %d: %s; such payloads travel in %s", self.worker, what, instead)
