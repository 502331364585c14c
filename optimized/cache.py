"""Rows by identity and epoch, least recently used first out."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from plumbline.interface import Encoded, Identity, Runtime

Key = tuple[bytes, int]


def owned(encoded: Encoded) -> Encoded:
    """A copy whose storages hold exactly its rows. Views would keep the batch alive that they were cut from."""

    rows, side = own(encoded.rows), encoded.side
    return Encoded(rows, tuple([own(level) for level in side]) if side else ())


def own(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


class LruCache:
    """nbytes: storage bytes of all entries, never above the budget."""

    def __init__(self, runtime: Runtime) -> None:
        self.budget = runtime.budgets.cache_bytes
        self.nbytes = 0
        self._entries: OrderedDict[Key, Encoded] = OrderedDict()

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        key = self.key(identity, epoch)
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        key, size = self.key(identity, epoch), self.size(encoded)
        if size > self.budget:
            return False
        if key in self._entries:
            self._remove(key)
        while self.nbytes + size > self.budget:
            self.evict()
        self._entries[key] = self.copy(encoded)
        self.nbytes += size
        return True

    def clear(self) -> None:
        self._entries.clear()
        self.nbytes = 0

    def key(self, identity: Identity, epoch: int) -> Key:
        return identity.digest, epoch

    def size(self, encoded: Encoded) -> int:
        """Bytes of a copy that owns its storage."""
        rows = encoded.rows
        return rows.numel() * rows.element_size() * (1 + len(encoded.side))

    def copy(self, encoded: Encoded) -> Encoded:
        return owned(encoded)

    def evict(self) -> None:
        self._remove(next(iter(self._entries)))

    def _remove(self, key: Key) -> None:
        self.nbytes -= self.size(self._entries.pop(key))
