"""The calls of a transport case on a rank's side: what each act does, and what it has to give."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import Feature, PlumblineError, Prepared
from plumbline.transport_fields import difference, metadata_tensors, parts_of
from plumbline.transport_judge import Copy
from plumbline.transport_mutate import mutated
from plumbline.transport_scenario import Act
from plumbline.transport_stage import Stage, Stop, nth

CPU = torch.device("cpu")


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
        self.model.was_read(copy, seen, self._checked(copy.kept))

    def _check(self, act: Act) -> None:
        """Without having read: what never looks at the payload cannot see garbage, and may learn of a fence or not."""
        copy = self._copy(act)
        if copy is None:
            return
        self.say(f"rank {copy.rank} checks publication {copy.lease.number}")
        for feature in copy.features:
            if id(feature) in copy.let_go:
                self.model.checked_late(copy, copy.let_go[id(feature)], self._checked([feature]))
        if copy.released:
            self.model.checked_late(copy, copy.known, self._checked(copy.kept))
        elif (error := self._checked(copy.kept)) is not None:
            self.model.refused(copy, "check", error)

    def _checked(self, features: Sequence[Feature]) -> Exception | None:
        for f in features:
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
            copy.let_go[id(feature)] = self.model.known(copy)
            for _ in range(2):
                self.must("release", "POOL-017", feature.release)
            copy.live = []
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
        message = self.tickets[-1 - act.what // 16 % len(self.tickets)][1].message
        message = mutated(message, random.Random(len(self.moments) * 32 + act.what))
        try:
            got = self.subscribers[rank].receive(message)
        except Exception as error:
            self._refuses_damage(message, error)
            self.reach.add("damaged message refused")
            for worker in self.publishers:  # which did not lose by it what the message names
                self.swept(worker)
            return
        self.model.check("MSG-002", isinstance(got, Prepared), f"a damaged message became {type(got).__name__}")
        self.model.doubt(rank)
        features = [p for item in got.items for p in parts_of(item.payload) if isinstance(p, Feature)]
        try:
            for feature in features:
                feature.ready()
                bits_of(feature.open(CPU)).clone()
                feature.check()
        except Exception as error:
            self._refuses_damage(message, error)
        for feature in features:  # which may be of a lease that is still to come
            self.must("release", "POOL-017", feature.release)

    def _refuses_damage(self, message: bytes, error: Exception) -> None:
        said = f"a damaged message of {len(message)} bytes: {type(error).__name__}: {error}"
        self.model.check("MSG-002", isinstance(error, PlumblineError), said)
