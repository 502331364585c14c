"""Work on streams, done as late as the program's own ordering allows, or earlier where a seed says so."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plumbline.sim.memory import Access

AT_ONCE, LATEST = -1, 0
"""Schedules that are no drawing: everything when it is queued, and nothing before somebody waits for it."""

POLLS = 8
"""An event that is polled so often has happened: a device that never went on would be no device."""

BACKLOG = 4096
"""Operations on one stream before its oldest are done, whatever the schedule."""


class Stalled(RuntimeError):
    """The host waits for a stream that waits for a word that nobody here will write: on a GPU it would hang."""


@dataclass(eq=False)
class Op:
    """One queued operation. needs: done before it, on whatever stream. until: it cannot begin before this holds."""

    queue: Queue
    run: Callable[[], None] | None = None
    needs: tuple[Op, ...] = ()
    until: Callable[[], bool] | None = None
    accesses: tuple[Access, ...] = ()
    done: bool = False
    polls: int = 0


class Queue:
    """One stream's work, first in first out."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.waiting: deque[Op] = deque()

    @property
    def last(self) -> Op | None:
        return self.waiting[-1] if self.waiting else None


class Scheduler:
    """All queues of a machine. seed: AT_ONCE, LATEST, or any other number for a drawn schedule."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.chance = {AT_ONCE: 1.0, LATEST: 0.0}.get(seed, self.random.choice([0.02, 0.1, 0.4, 0.8]))
        self.seed = seed
        self.queues: list[Queue] = []
        self.running = False
        self.errors: list[BaseException] = []
        self._afterwards: list[Callable[[], None]] = []

    def queue(self, device: int) -> Queue:
        queue = Queue(device)
        self.queues.append(queue)
        return queue

    def add(self, op: Op) -> Op:
        op.queue.waiting.append(op)
        for access in op.accesses:
            access.memory.users.append(op)
        if self.seed == AT_ONCE:
            self.advance(op.queue)
        elif self.chance and self.random.random() < self.chance:
            self.advance(self.random.choice(self.queues), self.random.randint(1, 4))
        if len(op.queue.waiting) > BACKLOG:
            self.advance(op.queue, BACKLOG // 2)
        return op

    def after_this(self, action: Callable[[], None]) -> None:
        """Now, or after the operation that is being done: memory may be freed in the middle of one."""
        if self.running:
            self._afterwards.append(action)
        else:
            action()

    def finish(self, op: Op) -> None:
        """Does what ``op`` needs and ``op`` itself. Raises Stalled."""
        if self.seed > LATEST and self.random.random() < 0.5:
            self.advance(self.random.choice(self.queues), self.random.randint(1, 8))
        while not op.done:
            if not self._first(op.queue, forced=True):
                self._others(op.queue)
                if not self._first(op.queue, forced=True):
                    raise Stalled("a stream waits for a word that no queued work writes")

    def poll(self, op: Op) -> bool:
        """Whether ``op`` is done. Asked often enough, it is."""
        op.polls += 1
        eager = self.seed > LATEST and self.random.random() < max(self.chance, 0.2)
        if not op.done and (eager or op.polls >= POLLS):
            while not op.done and self._first(op.queue, forced=False):
                pass
        return op.done

    def advance(self, queue: Queue, count: int = BACKLOG) -> None:
        """Does up to ``count`` operations of a queue, as far as nothing holds it up."""
        while count > 0 and queue.waiting and self._first(queue, forced=False):
            count -= 1

    def drain(self, queues: Iterable[Queue]) -> None:
        for queue in list(queues):
            if (last := queue.last) is not None:
                self.finish(last)

    # ------------------------------------------------------------------------------------------------------ one of them

    def _first(self, queue: Queue, forced: bool) -> bool:
        """Does the first operation of a queue, and before it what that needs. False: it cannot begin."""
        op = queue.waiting[0]
        for need in op.needs:
            if need.done:
                continue
            if forced:
                self.finish(need)
            else:
                while not need.done and self._first(need.queue, forced=False):
                    pass
            if not need.done:
                return False
        if op.done:
            return True
        if op.until is not None and not op.until():
            return False
        queue.waiting.popleft()
        self._do(op)
        return True

    def _do(self, op: Op) -> None:
        was, self.running = self.running, True
        try:
            if op.run is not None:
                op.run()
        except Exception as error:  # shows when somebody waits for the device, as a device's own errors do
            self.errors.append(error)
        finally:
            self.running = was
        op.done = True
        op.run, op.needs = None, ()
        for access in op.accesses:
            access.memory.users.remove(op)
        op.accesses = ()
        while self._afterwards and not self.running:
            self._afterwards.pop(0)()

    def _others(self, queue: Queue) -> None:
        """Everything that can be done elsewhere."""
        for other in self.queues:
            if other is not queue:
                self.advance(other)
