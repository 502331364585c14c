"""An object in a process of its own, for tests that stop and kill processes. No wait is without a bound."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from plumbline.interface import PlumblineError

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 60.0
"""Seconds for one answer; a process that starts imports torch first."""


class RemoteError(Exception):
    """A call raised something that is no typed error; its traceback is the message."""


class Gone(Exception):
    """The process ended before it answered."""


class Local(Generic[T]):
    """The same calls to an object in this process."""

    def __init__(self, kind: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> None:
        self._object = kind(*arguments, **named)

    def call(self, function: Callable[Concatenate[T, P], R], *arguments: P.args, **named: P.kwargs) -> R:
        return function(self._object, *arguments, **named)

    def discard(self) -> None:
        """Nothing: it ends with this process."""


class Remote(Generic[T]):
    """``kind(*arguments)`` in a spawned process. It does one call after the other, and ends with its owner.

    Calls name functions of ``kind``'s module or of another that can be imported: ``remote.call(Rank.read, message)``.
    """

    def __init__(self, kind: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, kind, arguments, named), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    def call(self, function: Callable[Concatenate[T, P], R], *arguments: P.args, **named: P.kwargs) -> R:
        """What ``function(object, *arguments)`` returns there. Raises PlumblineError, RemoteError, Gone, TimeoutError."""
        self.send(function, *arguments, **named)
        answer: R = self.answer()
        return answer

    def send(self, function: Callable[Concatenate[T, P], object], *arguments: P.args, **named: P.kwargs) -> None:
        """The same, but the answer is for ``answer``. Raises Gone."""
        try:
            self._pipe.send_bytes(pickle.dumps((function, arguments, named)))
        except OSError as error:
            raise Gone(f"process {self.pid} has ended") from error

    def answered(self, seconds: float) -> bool:
        """Whether an answer, or the end of the process, comes within so many seconds."""
        return self._pipe.poll(seconds)

    def answer(self, patience: float = PATIENCE) -> Any:
        """Of the call that was sent first. Raises what ``call`` raises."""
        if not self.answered(patience):
            raise TimeoutError(f"process {self.pid} did not answer within {patience:.0f} seconds")
        try:
            returned, value = pickle.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise Gone(f"process {self.pid} ended with {self.process.exitcode} before it answered") from error
        if not returned:
            raise value
        return value

    def stop(self) -> None:
        """SIGSTOP; ``kill`` works all the same."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> float:
        """SIGKILL. Returns the time.monotonic() at which the process was told."""
        told = time.monotonic()
        self.process.kill()
        self.process.join(10)
        self._pipe.close()
        return told

    def end(self) -> int | None:
        """Lets the process finish by itself. Returns its exit status; None if it had to be killed."""
        self._pipe.close()
        self.process.join(20)
        status = self.process.exitcode
        if status is None:
            self.process.kill()
            self.process.join(10)
        return status

    def discard(self) -> None:
        """Kills it if it is still there."""
        if self.process.is_alive():
            self.kill()

    def __enter__(self) -> Remote[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def _serve(pipe: Connection, kind: Callable[..., object], arguments: Any, named: Any) -> None:
    """The process: the object is made before the first call, and fails with it if it cannot be made."""
    made: object = None
    failed: Exception | None = None
    try:
        made = kind(*arguments, **named)
    except Exception:
        failed = RemoteError(traceback.format_exc())
    while True:
        try:
            function, given, options = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            answer = (False, failed) if failed else (True, function(made, *given, **options))
        except PlumblineError as error:
            answer = (False, error.with_traceback(None))
        except Exception:
            answer = (False, RemoteError(traceback.format_exc()))
        with contextlib.suppress(OSError):  # nobody listens any more
            pipe.send_bytes(pickle.dumps(answer))
