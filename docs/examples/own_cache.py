"""A cache of rows, least recently used first out; and the same without the copy."""

from __future__ import annotations

from collections import OrderedDict

from plumbline.interface import Encoded, Identity, Runtime


def nbytes(encoded: Encoded) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (encoded.rows, *encoded.side))


# region cache
class Cache:
    def __init__(self, runtime: Runtime) -> None:
        self.nbytes = 0
        self._budget = runtime.budgets.cache_bytes
        self._entries: OrderedDict[tuple[bytes, int], Encoded] = OrderedDict()

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        key = (identity.digest, epoch)
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        key, size = (identity.digest, epoch), nbytes(encoded)
        if size > self._budget:
            return False
        if key in self._entries:
            self.nbytes -= nbytes(self._entries.pop(key))
        while self.nbytes + size > self._budget:
            self.nbytes -= nbytes(self._entries.popitem(last=False)[1])
        self._entries[key] = self.kept(encoded)
        self.nbytes += size
        return True

    def clear(self) -> None:
        self._entries.clear()
        self.nbytes = 0

    def kept(self, encoded: Encoded) -> Encoded:
        """A copy, since what comes in is a view of the batch that it was encoded in."""
        return Encoded(encoded.rows.clone(), tuple(level.clone() for level in encoded.side))


# endregion


# region views
class CacheOfViews(Cache):
    """Counts the bytes of its rows, and keeps their batches alive."""

    def kept(self, encoded: Encoded) -> Encoded:
        return encoded


# endregion
