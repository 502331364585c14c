"""Exact counts of one run: what does not depend on the machine's mood, so that one more of it is one too many.

Seen from outside, by a dispatch mode: every torch operation of this thread. Blind to what numpy, ``bytes`` and C code copy among
themselves, but for the Python memory that they hold at once.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COPYING = frozenset({"copy_", "clone", "_to_copy", "cat", "stack", "repeat", "flip", "roll", "constant_pad_nd"})
COPYING |= {"index", "index_select", "masked_select", "gather", "index_put", "index_copy", "scatter", "masked_scatter"}
"""Operations of which all that they give is a copy."""
PUT = {"index_put_": 2, "put_": 2, "masked_scatter_": 2, "index_copy_": 3, "scatter_": 3, "_foreach_copy_": 1}
"""Those that copy one of their arguments into another, and which."""


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """calls, nbytes: of operations that write what they read."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = self.nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._overloadpacket.__name__
        if name in COPYING or name in PUT:
            written = args[PUT[name]] if name in PUT else result
            self.calls += 1
            self.nbytes += sum(t.nbytes for t in tree_leaves(written) if isinstance(t, Tensor))
        return result


def count(run: Callable[[], object], ready: Callable[[], object], device: torch.device) -> dict[str, int]:
    """Counts of one run: copies, copied_bytes, python_bytes (the most held at once), and on a GPU bytes by link and waits."""
    ready()
    with Copies() as copies:
        run()
    found = {"copies": copies.calls, "copied_bytes": copies.nbytes, "python_bytes": python_bytes(run, ready)}
    if device.type == "cuda":
        from plumbline.cuda.ledger import recording  # needs packages that a machine without a GPU does without

        ready()
        with recording(device) as ledger:
            run()
        found |= {f"{kind}_bytes": sum(ledger.sizes(kind)) for kind in ("HtoD", "DtoH", "DtoD", "PtoP")}
        found["waits"] = len(ledger.waits)
    return found


def python_bytes(run: Callable[[], object], ready: Callable[[], object]) -> int:
    """The most that a run held at once of what Python and numpy allocated: the least of three runs. It moves by some KiB without
    anybody's doing, which a comparison has to allow for."""
    most = []
    for _ in range(3):
        ready()
        gc.collect()
        tracemalloc.start()
        try:
            run()
            most.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(most)
