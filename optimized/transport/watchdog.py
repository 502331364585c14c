"""Streams that wait for a worker's word are released when the worker dies, even while the host waits for the stream."""

from __future__ import annotations

import threading
import time

from optimized.transport.words import Segment

INTERVAL = 0.05
"""Seconds between two looks."""


class Watchdog:
    """A thread, for as long as there is something to wait for. A device that waits in vain would take its rank with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: list[tuple[Segment, int, int]] = []
        self._thread: threading.Thread | None = None

    def watch(self, segment: Segment, slot: int, generation: int) -> None:
        """Somebody waits until the slot's payload is ready."""
        with self._lock:
            self._waits.append((segment, slot, generation))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="plumbline watchdog", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                self._waits = [wait for wait in self._waits if int(wait[0].ready[wait[1]]) < wait[2]]
                if not self._waits:
                    self._thread = None
                    return
                segments = {wait[0] for wait in self._waits}
            for segment in segments:
                if segment.orphaned():
                    segment.fence()
