"""The calls of a transport case on a worker's side: what each act does, and what it has to give."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import PlumblineError, Publisher, Slot
from plumbline.transport_faulty import unpublishable
from plumbline.transport_fields import overwrite, parts_of
from plumbline.transport_judge import Lease, Part
from plumbline.transport_scenario import Act, WireRequest, metas_of, prepared_of
from plumbline.transport_stage import Stage, nth


class WorkerSide(Stage):
    def _publish(self, act: Act) -> None:
        if not self.publishers or not self.case.requests:
            return
        worker = nth(self.publishers, act.who)
        publisher = self.publishers[worker]
        request = self.case.requests[act.what % len(self.case.requests)]
        readers, name = request.to(self.case.ranks), f"q{len(self.model.leases)}"
        number = act.what % len(self.case.requests)
        to = f"rank{'s' * (len(readers) > 1)} {', '.join(map(str, sorted(readers)))}" if readers else "nobody"
        self.say(f"worker {worker} publishes request {number} to {to}, as publication {name[1:]}")
        self.swept(worker)  # first, so that what the publication takes can be told from what it gives back
        before = publisher.leased
        if request.fault and request.items:
            self._fail_to_publish(worker, request, readers)
            return
        slot, reserved = self.slots.pop((worker, number), (None, 0))
        self.model.reserved[worker] -= reserved
        before -= reserved
        if slot is None and request.in_place:
            slot = self._reserved(publisher, number, readers)
            reserved = publisher.leased - before
        own = prepared_of(name, request)
        prepared = own if slot is None else prepared_of(name, request, self._in_order(number, slot))
        held = frozenset(i for i, item in zip(prepared.identities, request.items, strict=True) if item.held)
        away = [i in held for i in prepared.identities]
        bits = [
            [] if gone else [bits_of(p).clone() for p in parts_of(item.payload) if isinstance(p, Tensor)]
            for gone, item in zip(away, own.items, strict=True)
        ]
        ticket = self.must("publish", "ISO-001", lambda: publisher.publish(prepared, readers, held))
        taken = publisher.leased - before
        self.model.check("POOL-002", taken >= 0, f"publishing gave back {-taken} bytes of leases that nothing ended")
        if slot is not None:
            once = taken == reserved or (bool(held) and taken < reserved)
            self.model.check(
                "POOL-014", once, f"{reserved} bytes reserved, {taken} under a lease when published in place"
            )
            self.reach.add("in place")
        size = sum(t.numel() * t.element_size() for parts in bits for t in parts)
        self.reach |= {"pooled"} if taken > 0 else {"fallback"} if size and self.case.pool else {"message"}
        self.reach |= {"held"} if held else set()
        lease = Lease(len(self.model.leases), worker, prepared, held, bits, max(taken, 0), self.model.now,
                      dict.fromkeys(readers, Part.HELD))  # fmt: skip
        self.model.publish(lease)
        self.tickets.append((lease, ticket))
        self.model.leased(worker, publisher.leased, f"publication {lease.number}")
        place = f"{taken} bytes under a lease" if taken > 0 else "in the message"
        self.moments[-1].lines.append(place + (", written in place" if slot is not None else ""))
        if slot is None:
            overwrite(prepared)

    def _in_order(self, number: int, slot: Slot) -> Sequence[Tensor]:
        """Its tensors as the request lists its payloads. Some processors make videos before images."""
        return slot.tensors if number % 2 else slot.tensors[::-1]

    def _reserved(self, publisher: Publisher, number: int, readers: frozenset[int]) -> Slot | None:
        """Space for the request with its payloads written into it; None if there is none."""
        request = self.case.requests[number]
        metas = metas_of(request)
        listed = metas if number % 2 else metas[::-1]
        slot = self.must("reserve", "ISO-001", lambda: publisher.reserve(listed, readers))
        if slot is None:
            return None
        payloads = [p for item in prepared_of("", request).items for p in parts_of(item.payload)]
        for space, part, meta in zip(self._in_order(number, slot), payloads, metas, strict=True):
            assert isinstance(part, Tensor)
            right = (tuple(space.shape), space.dtype, space.is_contiguous()) == (meta.shape, meta.dtype, True)
            self.model.check("POOL-014", right, f"reserved {tuple(space.shape)} {space.dtype} for {meta}")
            space.copy_(part)
        return slot

    def _reserve(self, act: Act) -> None:
        """Reserved, and given back."""
        if not self.publishers or not self.case.requests:
            return
        worker = nth(self.publishers, act.who)
        number = act.what % len(self.case.requests)
        slot = self._reserved(self.publishers[worker], number, self.case.requests[number].to(self.case.ranks))
        self.say(f"worker {worker} reserves room for request {number}")
        self.moments[-1].lines.append("and gives it back, twice" if slot is not None else "there is none")
        if slot is not None:
            slot.cancel()
            slot.cancel()
        self.swept(worker)

    def _keep(self, act: Act) -> None:
        """Reserved and written, for a publication that comes later; some after one from there that failed."""
        if not self.publishers or not self.case.requests:
            return
        worker, number = nth(self.publishers, act.who), act.what % len(self.case.requests)
        if (worker, number) in self.slots:
            return
        self.say(f"worker {worker} writes request {number} into reserved room")
        self.swept(worker)
        publisher, request = self.publishers[worker], self.case.requests[number]
        before = publisher.leased
        slot = self._reserved(publisher, number, request.to(self.case.ranks))
        if slot is None:
            self.moments[-1].lines.append("there is none")
            return
        self.slots[worker, number] = slot, publisher.leased - before
        self.model.reserved[worker] += publisher.leased - before
        self.reach.add("written before it is published")
        if request.items and act.who % 2:
            faulty = dataclasses.replace(request, fault="extra")
            self._fail_to_publish(worker, faulty, frozenset(range(self.case.ranks)), self._in_order(number, slot))

    def _fail_to_publish(
        self, worker: int, request: WireRequest, readers: frozenset[int], tensors: Sequence[Tensor] | None = None
    ) -> None:
        """tensors: reserved for its payloads, and still reserved afterwards."""
        publisher = self.publishers[worker]
        if request.fault != "extra" and (request.items[-1].held or not sum(request.items[-1].rows[-1:])):
            return  # its payload stays away, or has nothing to copy
        self.moments[-1].lines.append(f"which must fail: {request.fault}")
        prepared = unpublishable(prepared_of("fails", request, tensors), request.fault, -1)
        before = publisher.leased
        try:
            publisher.publish(prepared, readers)
        except Exception as error:
            if request.fault != "raises":
                said = f"publishing with a fault ({request.fault}) raised {type(error).__name__}: {error}"
                self.model.check("ISO-003", isinstance(error, PlumblineError), said)
        else:
            self.model.check("POOL-004", False, f"a request with a fault ({request.fault}) was published")
        after = publisher.leased
        self.model.check("POOL-004", after == before, f"{before} bytes under leases before it failed, {after} after")
        self.reach.add("publish fails")

    def _collect(self, act: Act) -> None:
        if self.publishers:
            self.say(f"worker {nth(self.publishers, act.who)} collects")
            self.swept(nth(self.publishers, act.who))

    def _cancel(self, act: Act) -> None:
        alive = [(lease, ticket) for lease, ticket in self.tickets if lease.worker in self.publishers]
        if alive:
            lease, ticket = alive[-1 - act.what % len(alive)]
            self.say(f"worker {lease.worker} cancels publication {lease.number}{' late' * lease.over}")
            self.reach.add("late cancel" if lease.over else "cancel")
            self.must("cancel", "POOL-017", ticket.cancel)
            self.model.end(lease, late=lease.over)

    def _lose_reader(self, act: Act) -> None:
        """Workers are told that a rank is dead: one that was killed if there is one, else one that is not."""
        rank = nth(self.killed_ranks or range(self.case.ranks), act.who)
        self.say(f"workers are told that rank {rank}, which is {'dead' if self.killed_ranks else 'alive'}, is lost")
        for worker, publisher in self.publishers.items():
            self.must("lost", "POOL-007", lambda p=publisher: p.lost(rank))  # type: ignore[misc]
            self.model.lose_reader(worker, rank)
            self.swept(worker)
        self.reach.add("killed rank told" if self.killed_ranks else "living rank told lost")

    def _restart_worker(self, act: Act) -> None:
        """The successor of one that was closed, or of one that was killed, once all ranks know of the death."""
        ended = self.closed_workers | self.killed_workers
        if not ended:
            return
        before = nth(ended, act.who)
        if before in self.killed_workers:
            self.told_of(self.number(before))
            if not self.subscribers:
                self.unburied.add(before)
        self.killed_workers.discard(before)
        self.closed_workers.discard(before)
        worker = before + self.case.workers
        self.say(f"worker {worker} starts in the place of worker {before}")
        self.workers.add(worker)
        self.publishers[worker] = self.must("a worker's restart", "POOL-018", lambda: self.publisher(worker))
        self.reach.add("restarted worker")

    def _kill_worker(self, act: Act) -> None:
        if len(self.publishers) > 1 or (act.what % 4 == 0 and self.publishers):
            worker = nth(self.publishers, act.who)
            self.say(f"worker {worker} is killed")
            self.killed.append(self.publishers.pop(worker))
            self.killed_workers.add(worker)
            self.reach.add("killed worker")

    def _close_worker(self, act: Act) -> None:
        if len(self.publishers) > 1 or (act.what % 4 == 0 and self.publishers):
            worker = nth(self.publishers, act.who)
            self.closed(worker)
            self.closed_workers.add(worker)

    def closed(self, worker: int) -> None:
        self.say(f"worker {worker} closes")
        publisher = self.publishers.pop(worker)
        self.must("close", "POOL-003", publisher.close)
        self.must("the second close", "POOL-017", publisher.close)
        self.model.check(
            "POOL-003", publisher.leased == 0, f"a closed worker has {publisher.leased} bytes under leases"
        )
        for lease in self.model.leases:
            if lease.worker == worker:
                self.model.end(lease)
