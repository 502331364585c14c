"""Work and memory seen from outside: a dispatch mode that counts what torch operations allocate.

Blind to memory that is not a tensor's (Python objects, numpy) and to what a kernel allocates inside; ``tracemalloc``
covers the first two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """allocated: bytes of all storages that operations created while the mode was on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.allocated = 0
        self._paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing inside is counted: a tower's own work, for one."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._paused:
            return result
        given = {_place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for t in tree_leaves(result):
            if isinstance(t, Tensor) and t.layout is torch.strided and _place(t) not in given:
                self.allocated += t.untyped_storage().nbytes()
        return result


def _place(t: Tensor) -> int:
    return t.untyped_storage().data_ptr() if t.layout is torch.strided else id(t)
