"""apache/trafficcontrol #3503 (closed; quoting electron #17864), zokis/Python--Faster-Way #1: integers compared with
``is``, which works in CPython as long as they are small (up to 256) and fails from then on.

Carried over: epochs are compared with ``is``. An engine that announces the tower's epoch again when nothing has changed
(after a reconnect, or once for each step, since it is cheap) passes the same number as another object. Up to 256 that
is nothing; beyond, and with epochs that are made of a training step or a time, it counts as an update: held rows are
dropped, and requests that were served a chunk are told that the weights changed.

Shows with: ``set_epoch(n)``, a chunk inside an image, ``set_epoch(n)`` again with n of 257 or more from another
computation (say ``int("1000")``), the next chunk: EpochChanged.

Breaks EPOCH-002 (fails where a chunk was served under *another* epoch), ISO-001 and CHUNK-003.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Admitted, Embedder, Plan
from plumbline.interface import BadChunk, Chunk, EpochChanged, RequestId

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-002", "ISO-001", "CHUNK-003")


class Embed(Embedder):
    def set_epoch(self, epoch: int) -> None:
        if epoch is self.epoch:
            return
        self.epoch = epoch
        for request in self._requests.values():
            self._drop(request, list(request.held))

    def _plan(self, chunk: Chunk, seen: set[RequestId]) -> Plan:
        request = self._request(chunk.request_id)
        second = chunk.request_id in seen
        seen.add(chunk.request_id)
        where = f"request {chunk.request_id}"
        if second:
            raise BadChunk("the second chunk of its request in one step", where=where)
        if not (type(chunk.lo) is int and type(chunk.hi) is int and 0 <= chunk.lo < chunk.hi <= request.length):
            raise BadChunk(f"the chunk is empty or not inside [0, {request.length})", where=where)
        if self.is_stale(request):
            raise EpochChanged(f"served under epoch {request.epoch}, now {self.epoch}", where=where)
        pieces = request.places.pieces(chunk.lo, chunk.hi)
        return Plan(chunk, request, pieces, tuple(dict.fromkeys([item for item, _, _, _ in pieces])))

    def is_stale(self, request: Admitted) -> bool:
        return request.epoch is not None and request.epoch is not self.epoch


implementation = dataclasses.replace(optimized.implementation, name="mutant epochs_compared_by_identity", embed=Embed)
