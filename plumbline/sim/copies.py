"""Copies between the host and the devices, and between devices: when they read, when they write, and who waits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from plumbline.sim.device import Machine, SimTensor
from plumbline.sim.ledger import Copy
from plumbline.sim.schedule import Op

STAGED = 1 << 16
"""Bytes that go up from pageable memory without a wait for their stream; of more than these CUDA promises it no longer."""


def pinned_like(machine: Machine, tensor: Tensor) -> Tensor:
    """Pinned memory of a tensor's shape, contiguous, kept as long as copies use it."""
    room = machine.pinned.allocate(tensor.numel() * tensor.element_size(), lasting=True)
    return room.view(tensor.dtype).view(tensor.shape)


def staged(machine: Machine, tree: Any) -> Any:
    """Host tensors among the arguments of a kernel: numbers and indices, taken as they are now."""

    def one(x: Any) -> Any:
        if isinstance(x, Tensor) and not isinstance(x, SimTensor):
            if x.dim():
                machine.refuse_in_capture("a copy from pageable memory")
                machine.ledger.copies.append(Copy("h2d", x.numel() * x.element_size(), x.dtype, late=False))
            return x.clone()
        return x

    return tree_map(one, tree)


def to_copy(
    machine: Machine,
    source: Tensor,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    non_blocking: bool = False,
    memory_format: torch.memory_format | None = None,
    **_: Any,
) -> Tensor:
    """``Tensor.to``. With ``non_blocking`` a result on the host is pinned, and not there yet: as on a GPU."""
    target = torch.device(device) if device is not None else source.device
    dtype = dtype or source.dtype
    like = torch.empty_like(
        torch.empty_strided(source.shape, source.stride(), dtype=source.dtype, device="meta"),
        dtype=dtype,
        memory_format=torch.preserve_format if memory_format is None else memory_format,
    )
    out: Tensor
    if target.type == "sim":
        out = machine.empty(like.shape, like.stride(), dtype, machine.index(target))
    elif non_blocking and like.is_contiguous():
        out = pinned_like(machine, torch.empty(like.shape, dtype=dtype))
    else:
        out = torch.empty_strided(like.shape, like.stride(), dtype=dtype)
    return copy_(machine, out, source, non_blocking)


def copy_(machine: Machine, out: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    if not out.numel():
        return out  # before torch asks anything of a device
    if isinstance(out, SimTensor) and isinstance(source, SimTensor):
        _between(machine, out, source)
    elif isinstance(out, SimTensor):
        _up(machine, out, source, non_blocking)
    else:
        assert isinstance(source, SimTensor)
        _down(machine, out, source, non_blocking)
    return out


def _between(machine: Machine, out: SimTensor, source: SimTensor) -> None:
    """Across devices, both current streams wait for each other, as torch makes them. A copy from memory that is mapped here
    is this device's alone, wherever the memory is."""
    accesses = (source.access(writes=False), out.access(writes=True))
    here, there = machine.current(source.number), machine.current(out.number)

    def copy(to: Tensor = out.raw, raw: Tensor = source.raw) -> None:
        to.copy_(raw)

    direction = "d2d" if out.home == source.home else "p2p"
    machine.ledger.copies.append(Copy(direction, source.raw.numel() * source.element_size(), source.dtype, late=True))
    if out.number == source.number:
        machine.launch(copy, out.number, accesses)
        return
    machine.refuse_in_capture("a copy between devices")
    machine.ledger.contexts |= {source.number, out.number}
    needs = (last,) if (last := there.queue.last) is not None else ()
    done = machine.scheduler.add(Op(here.queue, copy, needs, accesses=accesses))
    machine.scheduler.add(Op(there.queue, needs=(done,)))


def _up(machine: Machine, out: SimTensor, source: Tensor, non_blocking: bool) -> None:
    """From pageable memory the bytes are staged at once, more than a few once the stream has done what is queued; from pinned
    memory they are read when the copy is done."""
    nbytes = source.numel() * source.element_size()
    mine = machine.pinned.find(source, writes=False) if non_blocking and source.is_contiguous() and nbytes else None
    if mine is None:
        machine.refuse_in_capture("a copy from pageable memory")
        machine.pinned.touched_by_host(source, False, "copy_")
        if non_blocking and nbytes > STAGED:
            last = machine.current(out.number).queue.last
            machine.wait_for(f"a copy of {nbytes} bytes from pageable memory", [last])
        taken = source.clone()
    else:
        # The tensor itself would keep the memory from being freed, which no copy does.
        taken = _same_bytes(mine.memory.data, mine.lo, mine.hi, source)
    machine.ledger.copies.append(Copy("h2d", nbytes, source.dtype, late=mine is not None))
    writes = out.access(writes=True)

    def copy(raw: Tensor = out.raw) -> None:
        raw.copy_(taken)

    op = machine.launch(copy, out.number, [writes] if mine is None else [mine, writes])
    if not non_blocking:
        machine.wait_for("a blocking copy to the device", [op])


def _down(machine: Machine, out: Tensor, source: SimTensor, non_blocking: bool) -> None:
    """Into pinned memory the bytes are written when the copy is done; into pageable memory the host waits for them."""
    nbytes = out.numel() * out.element_size()
    mine = machine.pinned.find(out, writes=True) if non_blocking and out.is_contiguous() and nbytes else None
    if mine is None:
        machine.refuse_in_capture("a copy to pageable memory")
    machine.ledger.copies.append(Copy("d2h", nbytes, source.dtype, late=mine is not None))
    reads = source.access(writes=False)
    room = out if mine is None else _same_bytes(mine.memory.data, mine.lo, mine.hi, out)

    def copy(raw: Tensor = source.raw) -> None:
        room.copy_(raw)

    op = machine.launch(copy, source.number, [reads] if mine is None else [reads, mine])
    if mine is None:
        machine.wait_for("a blocking copy to the host", [op])


def _same_bytes(data: Tensor, lo: int, hi: int, like: Tensor) -> Tensor:
    """The bytes of ``like`` without its hold on them; for a mapping, which nobody here frees, ``like`` itself."""
    if not data.numel():
        return like.detach()
    return data[lo:hi].view(like.dtype).view(like.shape)
