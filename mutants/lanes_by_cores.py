"""go-hash #4, Konscious.Security.Cryptography #32 (both closed): a hash whose number of lanes is that of the
machine's cores differs between machines. martinus/oans #90 (closed): a file is cut for threads, and its digest made
one that does not know the cut. prismaquant #617 (merged) takes the number of threads from ``sched_getaffinity``, as
the parent does.

Carried over: large payloads are hashed in as many pieces as there are threads, in a pool that is kept, and the
pieces' digests are hashed together; BLAKE3's own threads are started anew for each payload.

Shows for payloads of a mebibyte and more where more than one core may be used: digests, and so prefix keys, are not
those of format 1. Processes of one engine that may use other numbers of cores (a container's limit, taskset, a worker
pinned beside a rank) do not agree on what an item is: rows that all readers hold are not found, and the same image is
encoded under two identities.
"""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

import optimized
from optimized.identify import THREADS, Identifier, raw_bytes
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-013", "IDENT-007", "RANK-001")

PIECES_PAY_FROM = 1 << 20


def hashed(piece: NDArray[np.uint8]) -> bytes:
    return blake3(piece.data).digest()


class PooledIdentifier(Identifier):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.pool: ThreadPoolExecutor | None = None
        self.process = 0

    def content(self, tensor: Tensor) -> bytes:
        if id(tensor) in self.known:
            return self.known[id(tensor)]
        data = raw_bytes(tensor)
        if THREADS == 1 or data.nbytes < PIECES_PAY_FROM:
            return hashed(data)
        if self.pool is None or self.process != os.getpid():  # a pool is dead after a fork
            self.pool, self.process = ThreadPoolExecutor(THREADS), os.getpid()
        size = -(-data.nbytes // THREADS)
        pieces = [data[start : start + size] for start in range(0, data.nbytes, size)]
        return blake3(b"".join(self.pool.map(hashed, pieces))).digest()


implementation = dataclasses.replace(optimized.implementation, name="mutant lanes_by_cores", identify=PooledIdentifier)
