"""Ranks as threads of one process that take turns at collectives, and a record of those that each of them entered.

One rank runs until it enters a collective or ends, then the next. So the same scripts give the same run, and nobody waits
in vain: once no rank can go on, either all are in the same collective, or they have diverged and are told so. Ranks share
nothing but collectives, so turns at any line, as ``baton.py`` has them, would show no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from plumbline.trace import Hang

T = TypeVar("T")


class Diverged(Hang):
    """Between processes this would have been a hang."""


@dataclass(frozen=True)
class Collective:
    """What must be the same on all ranks. sizes: of agree its words; of gather the counts, then the width."""

    name: str
    sizes: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.name}{list(self.sizes)}"


@dataclass
class _Seat(Generic[T]):
    """One rank. state: ready, waiting or ended. given: to the collective that it waits in. met: what all gave to that."""

    entered: list[Collective] = field(default_factory=list)
    state: str = "ready"
    given: Tensor = field(default_factory=lambda: torch.empty(0))
    met: list[Tensor] = field(default_factory=list)
    result: T | BaseException | None = None


class Meeting(Generic[T]):
    """Runs a script on ``size`` ranks. diverged: why they could not go on together, empty if they could."""

    def __init__(self, size: int) -> None:
        self.diverged = ""
        self._seats = [_Seat[T]() for _ in range(size)]
        self._turn = 0
        self._turns = threading.Condition()
        """Whoever holds its lock runs; who waits for his turn lets go of it."""

    @property
    def entered(self) -> list[list[Collective]]:
        """By rank, the collectives in the order in which it entered them."""
        return [seat.entered for seat in self._seats]

    def run(self, script: Callable[[ThreadRanks], T]) -> list[T | BaseException | None]:
        """By rank what ``script`` returned or raised."""
        threads = [threading.Thread(target=self._body, args=(rank, script), daemon=True) for rank in self._ranks()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [seat.result for seat in self._seats]

    def meet(self, rank: int, collective: Collective, given: Tensor) -> list[Tensor]:
        """What each rank gave, when all are here. Raises Diverged."""
        seat = self._seats[rank]
        if self.diverged:
            raise Diverged(self.diverged)
        seat.entered.append(collective)
        seat.state, seat.given = "waiting", given.clone()
        self._pass_on(rank)
        self._wait_for_turn(rank)
        if self.diverged:
            raise Diverged(self.diverged)
        return [one.clone() for one in seat.met]

    def diverge(self, why: str) -> None:
        self.diverged = self.diverged or why
        self._turns.notify_all()

    def _ranks(self) -> range:
        return range(len(self._seats))

    def _body(self, rank: int, script: Callable[[ThreadRanks], T]) -> None:
        seat = self._seats[rank]
        with self._turns:
            self._wait_for_turn(rank)
            try:
                seat.result = script(ThreadRanks(self, rank, len(self._seats)))
            except BaseException as error:  # an implementation may raise anything
                seat.result = error
            seat.state = "ended"
            self._pass_on(rank)

    def _wait_for_turn(self, rank: int) -> None:
        self._turns.wait_for(lambda: self._turn == rank or self.diverged)

    def _pass_on(self, rank: int) -> None:
        """The turn goes to the next rank that can run."""
        order = [*self._ranks()[rank + 1 :], *self._ranks()[: rank + 1]]
        ready = [other for other in order if self._seats[other].state == "ready"]
        waiting = [other for other in order if self._seats[other].state == "waiting"]
        if not ready and waiting:
            ready = self._met(sorted(waiting))
        self._turn = ready[0] if ready else self._turn
        self._turns.notify_all()

    def _met(self, waiting: Sequence[int]) -> list[int]:
        """Nobody runs: ends the collective, if all are in the same one."""
        calls = {rank: self._seats[rank].entered[-1] for rank in waiting}
        if len(waiting) < len(self._seats) or len(set(calls.values())) > 1:
            gone = [f"rank {rank} has ended" for rank in self._ranks() if rank not in calls]
            self.diverge(", ".join([*(f"rank {rank} waits in {call}" for rank, call in calls.items()), *gone]))
            return []
        given = [seat.given for seat in self._seats]
        for seat in self._seats:
            seat.state, seat.met = "ready", given
        return list(waiting)


class ThreadRanks:
    """``plumbline.interface.Ranks`` of one thread of a meeting."""

    def __init__(self, meeting: Meeting[Any], rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.meeting = meeting

    def agree(self, words: Tensor) -> Tensor:
        call = Collective("agree", tuple(words.shape), words.dtype)
        if words.dtype is not torch.int64 or words.dim() != 1 or words.device.type != "cpu":
            self._refuse(f"gave {words.dtype} {list(words.shape)} to agree")
        return torch.stack(self.meeting.meet(self.rank, call, words))

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        call = Collective("gather", (*counts, *rows.shape[1:]), rows.dtype)
        if len(counts) != self.size or rows.dim() != 2 or rows.shape[0] != counts[self.rank]:
            self._refuse(f"gave {list(rows.shape)} to gather of {list(counts)}")
        return self.meeting.meet(self.rank, call, rows)

    def _refuse(self, why: str) -> None:
        self.meeting.diverge(f"rank {self.rank} {why}")
        raise Diverged(self.meeting.diverged)
