"""A tower's weights as its kernels want them: trees of named tuples, made from a checkpoint and written over in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

Read = Callable[[str], Tensor]
"""A weight of the checkpoint, by its name there."""

Tree = TypeVar("Tree")


class Linear(NamedTuple):
    """weight: [outputs, inputs]. bias: [outputs]."""

    weight: Tensor
    bias: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)"""
        outputs, inputs = self.weight.shape
        return outputs, inputs


class Norm(NamedTuple):
    """weight, bias: [width]. Without a bias it divides by the root mean square and subtracts no mean."""

    weight: Tensor
    bias: Tensor | None
    eps: float


class Block(NamedTuple):
    """One layer. qkv: queries, keys and values below each other. up: what the activation reads, down: what reads it."""

    before: Norm
    qkv: Linear
    proj: Linear
    after: Norm
    up: Linear
    down: Linear


class Merger(NamedTuple):
    """From joined patches to rows of the language model."""

    norm: Norm
    up: Linear
    down: Linear


def linear(read: Read, name: str) -> Linear:
    """A convolution whose stride is its size is a linear over flattened patches."""
    return Linear(read(f"{name}.weight").flatten(1), read(f"{name}.bias"))


def layer_norm(read: Read, name: str, eps: float) -> Norm:
    return Norm(read(f"{name}.weight"), read(f"{name}.bias"), eps)


def parameters(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Of weights and biases in a checkpoint, by the weights' shapes and the layers' names."""
    weights = {f"{name}.weight": shape for name, shape in shapes.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in shapes.items()}


def tensors(tree: object) -> Iterator[Tensor]:
    """All tensors of a tree, in its order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple):
        for branch in tree:
            yield from tensors(branch)


def mapped(tree: Tree, change: Callable[[Tensor], Tensor]) -> Tree:
    """The same tree of changed tensors."""

    def of(part: Any) -> Any:
        if isinstance(part, Tensor):
            return change(part)
        if not isinstance(part, tuple):
            return part
        parts = map(of, part)
        return type(part)(*parts) if hasattr(part, "_fields") else tuple(parts)

    made: Tree = of(tree)
    return made
