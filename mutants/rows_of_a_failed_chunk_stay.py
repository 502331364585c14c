"""sgl-project/sglang #33784 for #33783 (open): after new weights only what runs is invalidated. A retracted request is back in
the queue, its prefix is still there, and the flush that would clear it asks for an empty queue, so the stale prefix stays.

Carried over: new weights take the rows from the requests that were served under the old ones; the others wait in the queue and
hold nothing, since ``retract`` lets go of everything. The hole: a request whose first chunk failed was served nothing, and holds
the good items of that chunk, so that they need not be encoded again when it is tried once more.

Shows when the first chunk of a request (or the first after ``retract``) needs two items and one of them fails, then the weights
change, and then the chunk is tried again, or another request asks for the good item: it gets rows of the old weights under
the new epoch, with no EpochChanged."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-001", "ENC-012")


class RunningEmbedder(Embedder):
    def set_epoch(self, epoch: int) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        running = [request for request in self._requests.values() if request.epoch is not None]
        for request in running:
            self._drop(request, list(request.held))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rows_of_a_failed_chunk_stay", embed=RunningEmbedder
)
