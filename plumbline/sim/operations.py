"""What each torch operation becomes: a view now, a queued kernel, a copy, or a wait of the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from plumbline.sim import copies
from plumbline.sim.device import Machine, SimTensor
from plumbline.sim.memory import Access
from plumbline.sim.streams import machine as machine_that_is_on

_WAITS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}
"""The host has to know a value before it can go on."""

_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
_EMPTY = {"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "empty_permuted"}


@cache
def _kind(func: Any) -> str:
    schema = func._schema
    if any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments):
        return "write"
    return "view" if any(r.alias_info is not None for r in schema.returns) else "new"


@cache
def _written(func: Any) -> tuple[tuple[int, str], ...]:
    """(position, name) of the arguments that are written."""
    arguments = enumerate(func._schema.arguments)
    return tuple((k, a.name) for k, a in arguments if a.alias_info is not None and a.alias_info.is_write)


def run(machine: Machine, func: Any, args: Any, kwargs: Any) -> Any:
    if machine.scheduler.running:
        return func(*args, **kwargs)
    tensors = _tensors(args)
    if kwargs:
        tensors += _tensors(kwargs.values())
    sims = [t for t in tensors if isinstance(t, SimTensor)]
    target = kwargs.get("device")
    target = torch.device(target) if target is not None else None
    name = _name(func)
    if name in ("copy_", "_to_copy", "clone") and (sims or (target is not None and target.type == "sim")):
        return copies.copy_(machine, *args, **kwargs) if name == "copy_" else copies.to_copy(machine, *args, **kwargs)
    if not sims and (target is None or target.type != "sim"):
        return _on_host(machine, func, name, tensors, args, kwargs)
    if target is not None and target.type != "sim":  # of a tensor's shape, and nothing else of it
        return _on_host(machine, func, name, [], _raw(args), kwargs)
    index = machine.index(target) if target is not None else _device_of(sims)
    if name in _EMPTY:
        return _empty(machine, func, args, kwargs, index)
    if not sims:
        return _factory(machine, func, args, kwargs, index)
    if _kind(func) == "view":
        return _view(func, args, kwargs)
    _check_devices(name, tensors, index)
    if name in _WAITS or (name in _INDEXING and any(t.dtype in (torch.bool, torch.uint8) for t in _indices(args))):
        machine.wait_for(name, [machine.current(index).queue.last])
        return _now(machine, func, args, kwargs, index)
    if _kind(func) == "write":
        return _in_place(machine, func, args, kwargs, index)
    return _new(machine, func, args, kwargs, index)


@cache
def _name(func: Any) -> str:
    return str(func._schema.name).removeprefix("aten::")


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """Of the arguments of one operation, which may be in lists."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _raw(tree: Any) -> Any:
    return tree_map(lambda x: x.raw if isinstance(x, SimTensor) else x, tree)


def _reads(tree: Any) -> list[Access]:
    return [leaf.access(writes=False) for leaf in tree_leaves(tree) if isinstance(leaf, SimTensor)]


def _indices(args: Any) -> list[Tensor]:
    return [t for t in (args[1] if len(args) > 1 else ()) or () if isinstance(t, Tensor)]


def _device_of(sims: list[SimTensor]) -> int:
    found = {t.number for t in sims}
    if len(found) > 1:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found sim devices {sorted(found)}")
    return found.pop()


def _check_devices(name: str, tensors: list[Tensor], index: int) -> None:
    """A host tensor may take part as a number or as an index, as on a GPU."""
    for tensor in tensors:
        if not isinstance(tensor, SimTensor) and tensor.dim() and name not in _INDEXING:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found sim:{index} and {tensor.device} ({name})"
            )


# ------------------------------------------------------------------------------------------------------------ on the host


def _on_host(machine: Machine, func: Any, name: str, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
    if kwargs.get("pin_memory"):
        made = func(*args, **{**kwargs, "pin_memory": False})
        return copies.pinned_like(machine, made).copy_(made)
    if name == "is_pinned":
        return machine.pinned.find(args[0], writes=False) is not None
    if name == "_pin_memory":
        return copies.pinned_like(machine, args[0]).copy_(args[0])
    if _kind(func) != "view" and machine.pinned.busy():
        written = _tensors(args[k] if k < len(args) else kwargs.get(n) for k, n in _written(func))
        for tensor in tensors:
            if tensor.device.type == "cpu":
                machine.pinned.touched_by_host(tensor, any(tensor is w for w in written), name)
    return func(*args, **kwargs)


# -------------------------------------------------------------------------------------------------------- on the device


def _empty(machine: Machine, func: Any, args: Any, kwargs: Any, index: int) -> SimTensor:
    shape = func(*_meta((args, kwargs))[0], **{**_meta(kwargs), "device": "meta"})
    return machine.empty(shape.shape, shape.stride(), shape.dtype, index)


def _factory(machine: Machine, func: Any, args: Any, kwargs: Any, index: int) -> Any:
    """A tensor of values that do not depend on the device (zeros, arange, ...), written by a kernel."""
    value = func(*args, **{**kwargs, "device": torch.device("cpu")})
    made = machine.empty(value.shape, value.stride(), value.dtype, index)
    machine.launch(lambda raw=made.raw: raw.copy_(value), index, [made.access(writes=True)])  # type: ignore[misc]
    return made


def _view(func: Any, args: Any, kwargs: Any) -> Any:
    base = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, SimTensor))
    seen = func(*_raw(args), **_raw(kwargs))
    return tree_map(lambda x: SimTensor(x, base.handle, base.number) if isinstance(x, Tensor) else x, seen)


def _in_place(machine: Machine, func: Any, args: Any, kwargs: Any, index: int) -> Any:
    written = [args[k] if k < len(args) else kwargs.get(name) for k, name in _written(func)]
    args, kwargs = copies.staged(machine, (args, kwargs))
    accesses = [*_reads((args, kwargs)), *(t.access(True) for t in tree_leaves(written) if isinstance(t, SimTensor))]
    raw_args, raw_kwargs = _raw(args), _raw(kwargs)
    machine.launch(lambda: func(*raw_args, **raw_kwargs), index, accesses)
    if not func._schema.returns:
        return None
    return written[0] if len(func._schema.returns) == 1 else tuple(written)


def _new(machine: Machine, func: Any, args: Any, kwargs: Any, index: int) -> Any:
    args, kwargs = copies.staged(machine, (args, kwargs))
    metas = _meta(kwargs)
    if "device" in metas:
        metas["device"] = torch.device("meta")
    try:
        shapes = func(*_meta(args), **metas)
    except (NotImplementedError, RuntimeError):  # a shape that depends on values, or an error that the CPU words better
        machine.wait_for(func._schema.name, [machine.current(index).queue.last])
        return _now(machine, func, args, kwargs, index)
    leaves, form = tree_flatten(shapes)
    made = [
        machine.empty(leaf.shape, leaf.stride(), leaf.dtype, index) if isinstance(leaf, Tensor) else leaf
        for leaf in leaves
    ]
    tensors = [leaf for leaf in made if isinstance(leaf, SimTensor)]
    accesses = [*_reads((args, kwargs)), *(t.access(writes=True) for t in tensors)]
    machine.launch(_kernel(func, _raw(args), _raw(kwargs), [t.raw for t in tensors]), index, accesses)
    return tree_unflatten(made, form)


def _kernel(func: Any, args: Any, kwargs: Any, results: list[Tensor]) -> Callable[[], None]:
    kwargs = {**kwargs, "device": torch.device("cpu")} if kwargs.get("device") is not None else kwargs

    def run() -> None:
        values = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
        for result, value in zip(results, values, strict=True):
            result.copy_(value)

    return run


def attention(
    query: SimTensor,
    key: SimTensor,
    value: SimTensor,
    attn_mask: SimTensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> SimTensor:
    """By the kernel that the CPU chooses; torch would take another one for a device that it does not know."""
    here = machine_that_is_on()
    made = here.empty((*query.shape[:-1], value.shape[-1]), None, query.dtype, query.number)
    raw = _raw((query, key, value, attn_mask, dropout_p, is_causal))

    def kernel(out: Tensor = made.raw) -> None:
        out.copy_(torch.nn.functional.scaled_dot_product_attention(*raw, **options))

    here.launch(kernel, query.number, [*_reads((query, key, value, attn_mask)), made.access(writes=True)])
    return made


def _now(machine: Machine, func: Any, args: Any, kwargs: Any, index: int) -> Any:
    """Done at once: the values that it needs were waited for."""
    value = func(*_raw(args), **_raw(kwargs))
    written = [args[k] if k < len(args) else kwargs.get(name) for k, name in _written(func)]
    if written:
        return written[0]

    def lift(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        made = machine.empty(x.shape, x.stride(), x.dtype, index)
        made.raw.copy_(x)
        return made

    return tree_map(lift, value)


def _meta(tree: Any) -> Any:
    def one(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")

    return tree_map(one, tree)


# ------------------------------------------------------------- what torch does inside itself, where no mode sees it


def _empty_strided(
    size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None
) -> Tensor:
    here = machine_that_is_on()
    return here.empty(size, stride, dtype or torch.get_default_dtype(), here.index(device))


def _empty_memory_format(
    size: Any,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> Tensor:
    here = machine_that_is_on()
    return here.empty(size, None, dtype or torch.get_default_dtype(), here.index(device))


def _copy_from(source: Tensor, out: Tensor, non_blocking: bool = False) -> Tensor:
    return copies.copy_(machine_that_is_on(), out, source, non_blocking)


_LIBRARY = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
for _name_of, _function in (
    ("empty_strided", _empty_strided),
    ("empty.memory_format", _empty_memory_format),
    ("_copy_from", _copy_from),
):
    _LIBRARY.impl(_name_of, _function, "PrivateUse1")  # type: ignore[no-untyped-call]
