"""Streams that wait for a worker's word are released when the worker dies, even while the host waits for the stream."""

from __future__ import annotations

import threading
import time

from optimized.transport.words import NEVER, Segment

INTERVAL = 0.05
"""Seconds between two looks."""


class Watchdog:
    """A thread, for as long as there is something to wait for. A device that waits in vain would take its rank with it.

    No daemon: Python stops those wherever they are when it ends, and one that is inside C++ then aborts the process.

    Segments end in ``forget``, which the rank calls: that waits for the device, so it is put off while this one is needed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: list[tuple[Segment, int, int]] = []
        self._kept: list[Segment] = []
        self._thread: threading.Thread | None = None

    def watch(self, segment: Segment, slot: int, generation: int) -> None:
        """Somebody waits until the slot's payload is ready."""
        with self._lock:
            self._waits.append((segment, slot, generation))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="plumbline watchdog")
                self._thread.start()

    def keep(self, segment: Segment) -> None:
        """Until nobody waits for anything."""
        with self._lock:
            self._kept.append(segment)

    def release(self, fenced: Segment) -> None:
        """Streams that wait for its words go on."""
        with self._lock:
            for segment, slot, generation in self._waits:
                if segment is fenced and pending(segment, slot, generation):
                    segment.ready[slot] = NEVER

    def forget(self) -> None:
        """What is over, once nobody waits for anything."""
        with self._lock:
            if any(pending(*wait) for wait in self._waits):
                return
            over = self._waits, self._kept
            self._waits, self._kept = [], []
        del over  # outside of the lock

    def _run(self) -> None:
        while threading.main_thread().is_alive():
            time.sleep(INTERVAL)
            with self._lock:
                if not any(pending(*wait) for wait in self._waits):
                    self._thread = None
                    return
                for segment, slot, generation in self._waits:
                    if pending(segment, slot, generation) and segment.orphaned():
                        segment.fence()
                        segment.ready[slot] = NEVER
                del segment


def pending(segment: Segment, slot: int, generation: int) -> bool:
    return int(segment.ready[slot]) < generation
