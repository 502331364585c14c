"""The calls of a transport case: what each act does on a worker's or on a rank's side, and what it has to give."""

from __future__ import annotations

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import (
    Feature,
    PlumblineError,
    Prepared,
    Publisher,
    Slot,
)
from plumbline.transport_faulty import spoiled, unpublishable
from plumbline.transport_fields import difference, metadata_tensors, overwrite, parts_of
from plumbline.transport_judge import Copy, Lease, Part
from plumbline.transport_scenario import (
    Act,
    WireRequest,
    metas_of,
    prepared_of,
)
from plumbline.transport_stage import Stage, Stop, nth

CPU = torch.device("cpu")


class WorkerSide(Stage):
    def _publish(self, act: Act) -> None:
        if not self.publishers or not self.case.requests:
            return
        worker = nth(self.publishers, act.who)
        publisher = self.publishers[worker]
        request = self.case.requests[act.what % len(self.case.requests)]
        readers, name = self.case.readers(request), f"q{len(self.model.leases)}"
        number, to = act.what % len(self.case.requests), ", ".join(map(str, sorted(readers)))
        self.say(
            f"worker {worker} publishes request {number} to rank{'s' * (len(readers) > 1)} {to}, as publication {name[1:]}"
        )
        self.swept(worker)  # first, so that what the publication takes can be told from what it gives back
        before = publisher.leased
        if request.fault and request.items:
            self._fail_to_publish(worker, request, readers, before)
            return
        slot, reserved = self.slots.pop((worker, number), (None, 0))
        self.model.reserved[worker] -= reserved
        before -= reserved
        if slot is None and request.in_place:
            slot = self._reserved(publisher, request, readers)
            reserved = publisher.leased - before
        own = prepared_of(name, request)
        prepared = own if slot is None else prepared_of(name, request, slot.tensors)
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

    def _reserved(self, publisher: Publisher, request: WireRequest, readers: frozenset[int]) -> Slot | None:
        """Space for the request with its payloads written into it; None if there is none."""
        metas = metas_of(request)
        slot = self.must("reserve", "ISO-001", lambda: publisher.reserve(metas, readers))
        if slot is None:
            return None
        payloads = [p for item in prepared_of("", request).items for p in parts_of(item.payload)]
        for space, part, meta in zip(slot.tensors, payloads, metas, strict=True):
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
        request = self.case.requests[act.what % len(self.case.requests)]
        slot = self._reserved(self.publishers[worker], request, self.case.readers(request))
        self.say(f"worker {worker} reserves room for request {act.what % len(self.case.requests)}")
        self.moments[-1].lines.append("and gives it back, twice" if slot is not None else "there is none")
        if slot is not None:
            slot.cancel()
            slot.cancel()
        self.swept(worker)

    def _keep(self, act: Act) -> None:
        """Reserved and written, for a publication that comes later."""
        if not self.publishers or not self.case.requests:
            return
        worker, number = nth(self.publishers, act.who), act.what % len(self.case.requests)
        if (worker, number) in self.slots:
            return
        self.say(f"worker {worker} writes request {number} into reserved room")
        self.swept(worker)
        publisher, request = self.publishers[worker], self.case.requests[number]
        before = publisher.leased
        slot = self._reserved(publisher, request, self.case.readers(request))
        if slot is None:
            self.moments[-1].lines.append("there is none")
            return
        self.slots[worker, number] = slot, publisher.leased - before
        self.model.reserved[worker] += publisher.leased - before
        self.reach.add("written before it is published")

    def _fail_to_publish(self, worker: int, request: WireRequest, readers: frozenset[int], before: int) -> None:
        publisher = self.publishers[worker]
        if request.fault != "extra" and (request.items[-1].held or not sum(request.items[-1].rows[-1:])):
            return  # its payload stays away, or has nothing to copy
        self.moments[-1].lines.append(f"which must fail: {request.fault}")
        prepared = unpublishable(prepared_of("fails", request), request.fault, -1)
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

    def swept(self, worker: int) -> None:
        self.must("collect", "POOL-003", self.publishers[worker].collect)
        self.model.sweep(worker)
        self.model.leased(worker, self.publishers[worker].leased, "collect")

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


class RankSide(Stage):
    def _deliver(self, act: Act) -> None:
        if not self.subscribers or not self.tickets:
            return
        lease, ticket = self.tickets[-1 - act.what % len(self.tickets)]
        ranks = sorted(set(lease.parts) & set(self.subscribers))
        if not ranks:
            return
        rank = nth(ranks, act.who)
        self.say(f"rank {rank} receives publication {lease.number}{' late' * lease.over}")
        self.reach |= {"delivered twice"} if any(c.lease is lease for c in self.copies[rank]) else set()
        self.reach |= {"delivered late"} if lease.over else set()
        got = self.must("receive", "MSG-005", lambda: self.subscribers[rank].receive(ticket.message))
        field = difference(lease.sent, got, lease.held)
        if not self.model.check(
            "MSG-005", not field, f"publication {lease.number} on rank {rank}: {field} did not survive"
        ):
            raise Stop
        there = [str(t.device) for t in metadata_tensors(got) if t.device != CPU]
        self.model.check("MSG-006", not there, f"metadata on {there}")
        if lease.held:
            stayed = all(
                not parts_of(i.payload) for i, d in zip(got.items, got.identities, strict=True) if d in lease.held
            )
            self.model.check("MSG-008", stayed, "a payload travelled whose rows are held")
        self.copies[rank].append(Copy(lease, rank, [p for i in got.items for p in parts_of(i.payload)]))

    def _copy(self, act: Act) -> Copy | None:
        """A received request, counted back from the latest."""
        if not self.subscribers:
            return None
        copies = self.copies[nth(self.subscribers, act.who)]
        return copies[-1 - act.what % len(copies)] if copies else None

    def _open(self, act: Act) -> None:
        copy = self._copy(act)
        if copy is None or copy.released:
            return
        self.say(f"rank {copy.rank} opens publication {copy.lease.number}")
        for f in copy.kept:
            ready = f.ready()
            self.model.check("POOL-006", ready or not self.model.healthy(copy), "a payload under a lease is not ready")
            self.model.check("POOL-015", not ready or not self.model.gone(copy), "a payload that is gone is ready")
        try:
            copy.live = [p if isinstance(p, Tensor) else p.open(CPU) for p in copy.readable]
        except Exception as error:
            self.reach.add("open refused")
            self.moments[-1].lines.append(f"refused: {type(error).__name__}")
            self.model.refused(copy, "open", error)
            return
        self.model.opened(copy)
        self._read(act)

    def _read(self, act: Act) -> None:
        """Reads what is open, again, and then checks."""
        copy = self._copy(act)
        if copy is None or copy.released or not copy.live:
            return
        self.say(f"rank {copy.rank} reads publication {copy.lease.number}, then checks")
        seen = [bits_of(t).clone() for t in copy.live]
        self.model.was_read(copy, seen, self._checked(copy))

    def _check(self, act: Act) -> None:
        """Without having read: what never looks at the payload cannot see garbage, and may learn of a fence or not."""
        copy = self._copy(act)
        if copy is None:
            return
        self.say(f"rank {copy.rank} checks publication {copy.lease.number}")
        error = self._checked(copy)
        if copy.released:
            self.model.checked_late(copy, error)
        elif error is not None:
            self.model.refused(copy, "check", error)

    def _checked(self, copy: Copy) -> Exception | None:
        for f in copy.features if copy.released else copy.kept:
            try:
                f.check()
            except Exception as error:
                self.reach.add("check refused")
                self.moments[-1].lines.append(f"refused: {type(error).__name__}")
                return error
        return None

    def _release(self, act: Act) -> None:
        copy = self._copy(act)
        if copy is not None:
            self.released(copy)

    def _release_part(self, act: Act) -> None:
        """One payload of a request, twice, while others are still needed."""
        copy = self._copy(act)
        if copy is not None and not copy.released and len(copy.kept) > 1:
            feature = copy.kept[act.what % len(copy.kept)]
            self.say(f"rank {copy.rank} releases one payload of publication {copy.lease.number}, twice")
            for _ in range(2):
                self.must("release", "POOL-017", feature.release)
            copy.live = []
            copy.let_go.add(id(feature))
            self.reach.add("released in parts")

    def released(self, copy: Copy) -> None:
        self.say(f"rank {copy.rank} releases publication {copy.lease.number}{' again' * copy.released}")
        self.reach |= {"late release"} if copy.lease.over else set()
        self.reach |= {"released twice"} if copy.released else set()
        for f in copy.features:
            self.must("release", "POOL-017", f.release)
        self.model.release(copy)

    def _beat(self, act: Act) -> None:
        if self.subscribers:
            rank = nth(self.subscribers, act.who)
            self.say(f"rank {rank} gives a sign of life")
            self.must("beat", "POOL-006", self.subscribers[rank].beat)
            self.model.beats[rank] = self.model.now

    def _lose_worker(self, act: Act) -> None:
        """Ranks are told that a worker is dead: one that was killed if there is one, else one that is not."""
        worker = nth(self.killed_workers or self.workers, act.who)
        self.say(f"ranks are told that worker {worker}, which is {'dead' if self.killed_workers else 'alive'}, is lost")
        self.told_of(self.number(worker))

    def _kill_reader(self, act: Act) -> None:
        if len(self.subscribers) > 1 or (act.what % 4 == 0 and self.subscribers):
            rank = nth(self.subscribers, act.who)
            self.say(f"rank {rank} is killed")
            self.killed += [self.subscribers.pop(rank), self.copies.pop(rank)]
            self.killed_ranks.add(rank)
            self.reach.add("killed rank")

    def _restart_reader(self, act: Act) -> None:
        """The successor of one that was killed, once all workers know of the death."""
        if not self.killed_ranks:
            return
        rank = nth(self.killed_ranks, act.who)
        for worker, publisher in self.publishers.items():
            self.must("lost", "POOL-007", lambda p=publisher: p.lost(rank))  # type: ignore[misc]
            self.model.lose_reader(worker, rank)
        self.killed_ranks.discard(rank)
        self.copies[rank] = []
        self.subscribers[rank] = self.must("a rank's restart", "POOL-018", lambda: self.subscriber(rank))
        self.reach.add("restarted rank")

    def _close_reader(self, act: Act) -> None:
        if len(self.subscribers) > 1:
            rank = nth(self.subscribers, act.who)
            self.say(f"rank {rank} closes")
            self.must("close", "POOL-003", self.subscribers[rank].close)
            self.must("the second close", "POOL-017", self.subscribers.pop(rank).close)
            for copy in self.copies.pop(rank):
                self.model.release(copy)

    def _corrupt(self, act: Act) -> None:
        if not self.subscribers or not self.tickets:
            return
        rank = nth(self.subscribers, act.who)
        self.say(f"rank {rank} receives a damaged message")
        message = spoiled(self.tickets[-1 - act.what // 16 % len(self.tickets)][1].message, act.what)
        features: list[Feature] = []
        try:
            got = self.subscribers[rank].receive(message)
            features += [p for item in got.items for p in parts_of(item.payload) if isinstance(p, Feature)]
            for feature in features:
                feature.ready()
                bits_of(feature.open(CPU)).clone()
                feature.check()
        except Exception as error:
            said = f"a damaged message of {len(message)} bytes: {type(error).__name__}: {error}"
            self.model.check("MSG-002", isinstance(error, PlumblineError), said)
            self.reach.add("damaged message refused")
        else:
            self.model.check("MSG-002", isinstance(got, Prepared), f"a damaged message became {type(got).__name__}")
            self.model.doubt(rank)
        for feature in features:  # which may be of a lease that is still to come
            self.must("release", "POOL-017", feature.release)
