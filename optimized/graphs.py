"""Device work that is launched as one: a graph for each key, captured at its first use and replayed from then on.

graphs = GraphCache(port)
rows, side = graphs(key, body, (patches, segments))       # as body(patches, segments), in one launch
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from plumbline.interface import DevicePort

Body: TypeAlias = Callable[..., tuple[Tensor, ...]]

GRAPHS = 64
"""Graphs that are kept: more than calls of usual traffic have shapes. Each holds the memory of one call of its shape, so all
of them, of shapes from few patches to many in four steps for each doubling, some ten times that of the largest."""


@dataclass(frozen=True, eq=False)
class Captured:
    """A graph, and what its replays read and write outside of its own pool. body: for what it closes over, its weights."""

    graph: Any
    body: Body
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class GraphCache:
    """Captured graphs by key, the least recently used dropped first. Used from one thread.

    A body is device work of fixed shapes on its inputs and on what it closes over, which stays where it is and changes in
    place only. Whatever else tells two calls of one key apart is data in the inputs: numbers that the body takes from
    Python are those of the capture for ever.

    Everything happens on one stream of the cache's own, which waits for the caller's and which the caller's waits for.
    So replays are in order, whatever streams they are asked for on; and so graphs can share what torch keeps for each
    stream, cuBLAS's workspace, which holds nothing between two kernels. All else that a graph works in is in a pool of
    its own. Whoever clears torch's cuBLAS workspaces takes them from captured graphs, these and any others.

    A replay never makes the host wait. A capture does, for all work of the device, once for each key.
    """

    def __init__(self, port: DevicePort, limit: int = GRAPHS) -> None:
        self._device = port.device
        self._limit = limit
        self._module: Any = torch.get_device_module(port.device)
        self._stream = self._module.Stream(port.device)
        self._captured: OrderedDict[Hashable, Captured] = OrderedDict()

    def __call__(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What ``body(*inputs)`` gives, in memory of its own, in order on the current stream.

        Each key has inputs of one number, shape and dtype, on the port's device, and one body: later calls replay the first.
        Raises what the body raises, which leaves nothing behind, and ValueError for inputs of another kind.
        """
        here = self._module.current_stream(self._device)
        self._stream.wait_stream(here)
        try:
            captured = self._captured.get(key) or self._capture(key, body, inputs)
            _check(captured.inputs, inputs)
            self._captured.move_to_end(key)
            results = tuple(torch.empty_like(output) for output in captured.outputs)
            # Their memory may be what the caller's stream still reads.
            self._stream.wait_stream(here)
            with self._module.stream(self._stream):
                for static, given in zip(captured.inputs, inputs, strict=True):
                    static.copy_(given)
                captured.graph.replay()
                for result, output in zip(results, captured.outputs, strict=True):
                    result.copy_(output)
        finally:
            # After an error, too: what was launched may still read the inputs.
            here.wait_stream(self._stream)
        return results

    def _capture(self, key: Hashable, body: Body, inputs: Sequence[Tensor]) -> Captured:
        """Runs the body once as it is, since kernels are compiled and chosen at their first launch; then captures it.

        Its tensors are no inference tensors, whatever the mode of the first caller, so that any later one may fill them.
        """
        while len(self._captured) >= self._limit:
            self._stream.synchronize()
            self._captured.popitem(last=False)
        graph = self._module.CUDAGraph()
        with torch.inference_mode(False), torch.no_grad(), self._module.stream(self._stream):
            static = tuple(torch.empty(x.shape, dtype=x.dtype, device=self._device) for x in inputs)
            _check(static, inputs)
            for mine, given in zip(static, inputs, strict=True):
                mine.copy_(given)
            body(*static)
            # Other threads may go on with what a capture forbids, such as allocating.
            how = self._module.graph(graph, stream=self._stream, capture_error_mode="thread_local")
            with no_collection(), how:
                outputs = body(*static)
        self._captured[key] = Captured(graph, body, static, outputs)
        return self._captured[key]


@contextmanager
def no_collection() -> Iterator[None]:
    """Without Python's collector, which could end an old graph: no device permits that while another is captured."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _check(static: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
    kept, given = ([(tuple(x.shape), x.dtype, x.device) for x in tensors] for tensors in (static, inputs))
    if kept != given:
        raise ValueError(f"this graph has inputs {kept}, and was given {given}")
