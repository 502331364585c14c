"""Drives an implementation through a scenario's script: what a recorded engine did, in its order and with its chunks."""

from __future__ import annotations

from collections.abc import Iterator

from plumbline.engine import Run
from plumbline.interface import Chunk, EncodingFailed, Failure, Rows
from plumbline.trace import Entry, Scheduled, StepRecord


class RecordedRun(Run):
    """Nothing is decided here. What the recorded engine still held at the end of its script is finished after it."""

    def go(self) -> Iterator[None]:
        self._queue()
        self.by_index: dict[int, Entry] = {e.submission.index: e for e in self.trace.entries}
        steps = 0
        for act in self.scenario.script:
            yield
            e = self.by_index.get(act.request)
            if act.kind == "step":
                self._step(steps, self._recorded(act.chunks))
                steps += 1
            elif act.kind == "epoch":
                self._set_epoch(act.request)
            elif e is None or (act.kind != "admit" and not e.admitted):
                continue  # refused here, as the judges say, so that nothing of it can be repeated
            elif act.kind == "admit":
                e.state = "running" if self._admitted(e) else e.state
            elif act.kind == "retract":
                self._retract(e)
                e.state = "running"
            else:
                self._finish(e, "done" if e.position == len(e.prepared.token_ids) else "aborted")
            if self.trace.crashes:
                return
        for e in self.trace.entries:
            if e.admitted:
                self._finish(e, "aborted")

    def _recorded(self, chunks: tuple[tuple[int, int, int], ...]) -> list[Scheduled]:
        """With the error that a chunk must get that no engine should have asked for."""
        scheduled, seen = [], set()
        for index, lo, hi in chunks:
            e = self.by_index.get(index)
            if index < 0 or (e is not None and e.came_in and not e.admitted):
                scheduled.append(Scheduled(Chunk(e.id if e else "nobody", lo, hi), None, "UnknownRequest"))
            elif e is not None and e.admitted:
                good = e.id not in seen and 0 <= lo < hi <= len(e.prepared.token_ids)
                scheduled.append(self._chunk(e, lo, hi, "" if good else "BadChunk"))
                seen.add(e.id)
        return scheduled

    def _advance(self, record: StepRecord) -> None:
        """What becomes of a request that fails is the script's to say."""
        lost = {f.request_id for f in record.settled}
        for s, result in zip(record.scheduled, record.results, strict=False):
            if s.entry is None or s.fault:
                continue
            if isinstance(result, Rows) and s.entry.id not in lost:
                self._served(s.entry, s)
            elif isinstance(result, Failure) and isinstance(result.error, EncodingFailed):
                s.entry.failed_in = record.number
