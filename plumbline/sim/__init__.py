"""Simulated accelerators: torch devices "sim:0", "sim:1", ... whose values are right and whose timing is hostile.

    with Machine(seed=LATEST) as machine:
        rows = SimPort(0).move(patches)      # queued, and done when somebody waits for it
        print(rows.cpu(), machine.ledger)

Importing this package registers a device with torch, once and for all: do it in a process of its own.

Every operation on a device tensor is queued on the current stream of its device: kernels, copies, events, words. It is
done when the host waits for it, when work that is waited for needs it, or when the seed says so. Shapes are known at once,
values are not. So a missing event, wait or reference shows as a wrong value: with LATEST always, if anything that comes
later in the program's own order writes what the late work reads. Hosts that touch pinned memory under an unfinished copy
are also noted in the ledger, whatever the value turns out to be.

As on CUDA: a non-blocking copy from pageable memory is staged at once, and waits for its stream first if it is larger than
64 KiB, as CUDA may; one into pageable memory waits; ``to("cpu",
non_blocking=True)`` gives pinned memory that is not written yet; freed memory belongs to its stream, and to others after
``record_stream``. Stricter than torch on CUDA: pinned memory of ``SimPort.pinned`` is poisoned as soon as its last tensor
is gone, since a port need not use torch's caching allocator; a mapping becomes pinned memory when the port is given a word
in it, which is when a port of CUDA has to register it.

What a real device does that this cannot show: time, bandwidth and how much work overlaps; kernels that run at once and
race with each other inside (operations are done one by one, each as a whole); its own kernels' rounding (values are the
CPU's); memory order between words and data, caches, torn reads; running out of memory, fragmentation; handles between
processes (a word may be written by another process, but no device memory is shared with it); collectives that are late;
hardware errors. Reads and writes of pinned memory through numpy or ``tolist`` are not in the ledger; their values are late
all the same. Autograd is not supported, nor are operations that change a tensor's shape in place.
"""

import plumbline.sim.operations  # noqa: F401 - registers what torch does inside itself
from plumbline.sim.device import Machine, SimTensor
from plumbline.sim.ledger import Copy, Hazard, Ledger
from plumbline.sim.port import SimPort
from plumbline.sim.schedule import AT_ONCE, LATEST, Stalled

__all__ = ["AT_ONCE", "LATEST", "Copy", "Hazard", "Ledger", "Machine", "SimPort", "SimTensor", "Stalled"]
