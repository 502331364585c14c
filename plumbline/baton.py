"""Actors that take turns at any line: threads of one process of which only the one with the baton runs.

A tracer over the implementation's own files hands the baton on, or stops an actor for ever, at lines that a schedule of
small integers names. A stopped actor never gets the baton again, and its ``finally`` blocks do not run, which is what
SIGKILL does. The same schedule gives the same run. Frozen threads are unwound after judging, by ``unwind``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from plumbline.own_code import own_file, place

LINES = 100_000
"""Of one actor's turn. Beyond that it waits for something, which nobody may."""
SECONDS = 10.0
"""For a whole run; beyond that something blocks."""


class Unwound(BaseException):
    """Takes a frozen thread out of the implementation's frames."""


@dataclass(frozen=True)
class Schedule:
    """switches: (after so many lines, hand the baton to that actor). stops: (actor, at its line of that number)."""

    switches: tuple[tuple[int, int], ...] = ()
    stops: tuple[tuple[int, int], ...] = ()


@dataclass
class Actor:
    name: str
    script: Callable[[], None]
    state: str = "ready"
    """ready, waiting, done, stopped or spinning."""
    lines: int = 0
    turn: int = 0
    """Lines since it last got the baton."""
    error: BaseException | None = None
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    thread: threading.Thread | None = None


class Baton:
    """Runs actors under a schedule. ``hung``: why the run did not come to its end, empty if it did. say: is told where actors
    switch and stop."""

    def __init__(self, schedule: Schedule, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self.actors: list[Actor] = []
        self.hung = ""
        self._switches = list(schedule.switches)
        self._stops = set(schedule.stops)
        self._passed = 0
        self._current = 0
        self._looks = 0
        """In a row, of actors that wait and found nothing."""
        self._ended = threading.Event()
        self._unwinding = False

    def add(self, name: str, script: Callable[[], None]) -> Actor:
        actor = Actor(name, script)
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        """Until every actor is done, stopped, or waits for what will not come."""
        theirs = threading.gettrace()  # such as coverage's: threads that set a tracer at the same time are an error
        threading.settrace(None)
        try:
            for number, actor in enumerate(self.actors):
                actor.thread = threading.Thread(target=self._body, args=(number,), name=actor.name, daemon=True)
                actor.thread.start()
        finally:
            threading.settrace(theirs)
        self.actors[0].gate.release()
        if not self._ended.wait(SECONDS):
            self.hung = f"{self.actors[self._current].name} blocks"

    def unwind(self) -> None:
        """After judging: frozen threads leave their frames, one by one."""
        self._unwinding = True
        for actor in self.actors:
            actor.gate.release()
            assert actor.thread
            actor.thread.join(SECONDS)

    def wait(self, ready: Callable[[], bool]) -> bool:
        """For scripts: lets others run until ``ready()``. False: nobody is left who could make it so."""
        me = self.actors[self._current]
        me.state = "waiting"
        while not (found := ready()):
            self._looks += 1
            busy, waiting = self._others("ready"), self._others("waiting")
            if not busy and (not waiting or self._looks > 2 * len(self.actors)):
                break
            self._hand_to((busy or waiting)[0])
        me.state = "ready"
        self._looks = 0
        return found

    def _others(self, state: str) -> list[int]:
        """Actors in a state, in turn after the current one."""
        count = len(self.actors)
        order = [(self._current + k) % count for k in range(1, count)]
        return [k for k in order if self.actors[k].state == state]

    # -- inside actors' threads

    def _body(self, number: int) -> None:
        actor = self.actors[number]
        actor.gate.acquire()
        try:
            if not self._unwinding:
                sys.settrace(self._trace)
                actor.script()
        except Unwound:
            return
        except BaseException as error:  # an implementation may raise anything
            actor.error = error
        finally:
            sys.settrace(None)
        if not self._unwinding:
            actor.state = "done"
            self._leave()

    def _leave(self) -> None:
        """The baton goes to whoever can run; waiting actors look again."""
        self._looks = 0
        others = self._others("ready") or self._others("waiting")
        if not others:
            self._ended.set()
            return
        self._current = others[0]
        self.actors[others[0]].turn = 0
        self.actors[others[0]].gate.release()

    def _hand_to(self, number: int) -> None:
        me = self.actors[self._current]
        self._current = number
        self.actors[number].turn = 0
        self.actors[number].gate.release()
        me.gate.acquire()
        if self._unwinding:
            raise Unwound

    def _freeze(self, state: str) -> None:
        me = self.actors[self._current]
        me.state = state
        self._leave()
        me.gate.acquire()
        raise Unwound

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        # How often a comprehension turns may depend on the host, such as on what else lies in shared memory.
        comprehension = frame.f_code.co_name.startswith("<") and frame.f_code.co_name != "<lambda>"
        return self._line if own_file(frame.f_code.co_filename) and not comprehension else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event != "line" or self._unwinding:
            return self._line
        me = self.actors[self._current]
        me.lines += 1
        me.turn += 1
        self._looks = 0
        if (self._current, me.lines) in self._stops:
            self._say(f"{me.name} stops for ever before {place(frame)}, its line {me.lines}, in {frame.f_code.co_name}")
            self._freeze("stopped")
        if me.turn > LINES:
            self.hung = f"{me.name} waits at {place(frame)}"
            self._freeze("spinning")
        self._passed += 1
        if self._switches and self._passed > self._switches[0][0]:
            _, to = self._switches.pop(0)
            self._passed = 0
            to %= len(self.actors)
            if to != self._current and self.actors[to].state == "ready":
                cut = f"{me.name} is interrupted before {place(frame)}, in {frame.f_code.co_name}"
                self._say(f"{cut}; {self.actors[to].name} goes on")
                self._hand_to(to)
        return self._line
