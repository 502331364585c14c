"""Numeric faults of a known size, planted into a fast tower: what engines get wrong, from next to nothing to all of it (1).

    wrong = planted(tower, "heads exchanged", 0.01)      # another tower; this one is as it was
    wrong(call)

A family's kernels, weights and angles are the places where all of its arithmetic can be reached.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from optimized.towers import kernels_host as host
from optimized.towers.plan import Fields, Shape
from optimized.towers.tower import FastTower
from optimized.towers.trunk import Turns
from optimized.towers.weights import Linear, Norm
from plumbline.small_tower import FAMILIES

Tower = FastTower[Any, Any]
PRODUCTS = 16
"""Terms between two roundings of a sum: as many as a matrix unit takes at once."""


@dataclass(frozen=True)
class Fault:
    """plant: into a tower that nobody else has, with a size in (0, 1]. sized: there are others than 1. rounding: only figures
    behind the point change, not what is computed."""

    plant: Callable[[Tower, float], None]
    families: tuple[str, ...] = tuple(FAMILIES)
    sized: bool = True
    rounding: bool = False


def planted(tower: Tower, name: str, size: float) -> Tower:
    wrong = copy.copy(tower)
    FAULTS[name].plant(wrong, size)
    return wrong


def use(tower: Tower, **kernels: Callable[..., Any]) -> None:
    tower.kernels = SimpleNamespace(**{name: getattr(host, name) for name in host.__all__} | kernels)  # type: ignore[assignment]


def between(right: Tensor, wrong: Tensor, size: float) -> Tensor:
    return right + size * (wrong - right)


# --------------------------------------------------------------------------------------------------- what a call is given


def patched(change: Callable[[Tensor, list[int]], Tensor], tower: Tower) -> None:
    """change: of the patches, by the ends of their segments."""
    whole = tower.forward

    def forward(patches: Tensor, fields: Fields, shape: Shape) -> tuple[Tensor, ...]:
        ends = sorted({end for _, start, end in fields.tiles.tolist() if start < end})
        return whole(change(patches.clone(), ends), fields, shape)

    tower.forward = forward  # type: ignore[method-assign]


def last_patch_fades(tower: Tower, size: float) -> None:
    def fade(patches: Tensor, ends: list[int]) -> Tensor:
        patches[ends[-1] - 1] *= 1 - size
        return patches

    patched(fade, tower)


def neighbours_exchanged(tower: Tower, size: float) -> None:
    """The patches on either side of the first boundary."""

    def exchange(patches: Tensor, ends: list[int]) -> Tensor:
        if len(ends) > 1:
            pair = slice(ends[0] - 1, ends[0] + 1)
            patches[pair] = between(patches[pair], patches[pair].flip(0), size)
        return patches

    patched(exchange, tower)


# ------------------------------------------------------------------------------------------------------------- positions


def positions_fade(tower: Tower, size: float) -> None:
    def add_positions(x: Tensor, records: Tensor, table: Tensor, times: Tensor | None) -> None:
        host.add_positions(x, records, table * (1 - size), times)

    use(tower, add_positions=add_positions)


def rotation_shifted(tower: Tower, size: float) -> None:
    """All places but the first are ``size`` further. (All together would change nothing.)"""
    cos, sin = (table.double() for table in tower.turns)
    more = size * torch.atan2(sin[1], cos[1]) * (torch.arange(len(cos)) > 0)[:, None]
    tower.turns = Turns(
        (cos * more.cos() - sin * more.sin()).float(),
        (sin * more.cos() + cos * more.sin()).float(),
    )


def rows_for_columns(tower: Tower, _: float) -> None:
    use(tower, rotate=lambda qkv, records, cos, sin: host.rotate(qkv, records[:, :2].flip(1), cos, sin))


# ------------------------------------------------------------------------------------------------------------- attention


def heads_exchanged(tower: Tower, size: float) -> None:
    """The first two of the first layer: by what reads them."""
    head = 4 * tower.turns.cos.shape[1]
    right = tower.weights.blocks[0].proj
    wrong = right.weight.clone()
    wrong[:, : 2 * head] = right.weight[:, : 2 * head].roll(head, 1)
    first(tower, proj=Linear(between(right.weight, wrong, size), right.bias))


def attention_leaks(tower: Tower, size: float) -> None:
    """In every layer the first two segments see each other."""

    def attention(qkv: Tensor, tiles: Tensor, out: Tensor) -> None:
        host.attention(qkv, tiles, out)
        ends = sorted({end for _, start, end in tiles.tolist() if start < end})
        if len(ends) > 1:
            both = torch.empty_like(out)
            host.attention(qkv, torch.tensor([[0, 0, ends[1]]], dtype=torch.int32), both)
            out[: ends[1]] = between(out[: ends[1]], both[: ends[1]], size)

    use(tower, attention=attention)


# -------------------------------------------------------------------------------------------------------------- products


def rounded(x: Tensor, size: float) -> Tensor:
    """To nearest, with ``size`` times the unit roundoff of bfloat16."""
    wide = x.double()
    step = size * 2.0**-8 * torch.frexp(wide).exponent.double().exp2()
    return ((wide / step).round() * step).to(x.dtype)


def rough_sum(x: Tensor, linear: Linear, size: float) -> Tensor:
    weight = linear.weight[:, : x.shape[1]].float()
    total = torch.zeros(len(x), len(weight))
    for part, columns in zip(x.float().split(PRODUCTS, 1), weight.split(PRODUCTS, 1), strict=True):
        total = rounded(total + part @ columns.T, size)
    return (total + linear.bias).to(x.dtype)


def rough_operands(x: Tensor, linear: Linear, size: float) -> Tensor:
    return host.linear(rounded(x, size), Linear(rounded(linear.weight, size), linear.bias))


def products(rough: Callable[[Tensor, Linear, float], Tensor], everywhere: bool) -> Callable[[Tower, float], None]:
    """Otherwise that after the first layer's attention only."""

    def plant(tower: Tower, size: float) -> None:
        one = tower.weights.blocks[0].proj

        def linear(x: Tensor, what: Linear) -> Tensor:
            return rough(x, what, size) if everywhere or what is one else host.linear(x, what)

        def linear_gelu(x: Tensor, up: Linear) -> Tensor:
            return host.rowwise(partial(F.gelu, approximate="tanh"), linear(x, up))

        use(tower, linear=linear, linear_gelu=linear_gelu)

    return plant


# ----------------------------------------------------------------------------------------------------------- and the rest


def first(tower: Tower, **parts: Linear) -> None:
    """Other weights of the first layer."""
    blocks = tower.weights.blocks
    tower.weights = tower.weights._replace(blocks=(blocks[0]._replace(**parts), *blocks[1:]))


def bias_fades(tower: Tower, size: float) -> None:
    proj = tower.weights.blocks[0].proj
    first(tower, proj=Linear(proj.weight, proj.bias * (1 - size)))


def epsilon_grows(tower: Tower, size: float) -> None:
    """Up to ten times, in all norms."""

    def add_norm(x: Tensor, update: Tensor | None, norm: Norm, out: Tensor) -> None:
        host.add_norm(x, update, norm._replace(eps=norm.eps * 10**size), out)

    use(tower, add_norm=add_norm)


def the_other_gelu(tower: Tower, size: float) -> None:
    tanh, exact = partial(F.gelu, approximate="tanh"), F.gelu
    use(
        tower,
        gelu=lambda x: between(exact(x), tanh(x), size),
        linear_gelu=lambda x, up: between(tanh(h := host.linear(x, up)), exact(h), size),
    )


def levels_exchanged(tower: Tower, size: float) -> None:
    whole = tower.forward

    def forward(patches: Tensor, fields: Fields, shape: Shape) -> tuple[Tensor, ...]:
        rows, a, b = whole(patches, fields, shape)
        return rows, between(a, b, size), between(b, a, size)

    tower.forward = forward  # type: ignore[method-assign]


def last_frame_fades(tower: Tower, size: float) -> None:
    """From the mean over the frames of a clip."""

    def pool(x: Tensor, cells: Tensor, most: int) -> Tensor:
        fewer = cells.clone()
        fewer[:, 2] = torch.where(cells[:, 2] > 1, cells[:, 2] - 1, cells[:, 2])
        return between(host.pool(x, cells, most), host.pool(x, fewer, most), size)

    use(tower, pool=pool)


FAULTS = {
    "last patch fades": Fault(last_patch_fades),
    "neighbours exchanged": Fault(neighbours_exchanged),
    "positions fade": Fault(positions_fade, ("qwen3_vl", "kimi_k25")),
    "rotation shifted": Fault(rotation_shifted),
    "rows for columns": Fault(rows_for_columns, sized=False),
    "heads exchanged": Fault(heads_exchanged),
    "attention leaks": Fault(attention_leaks),
    "one sum in bfloat16": Fault(products(rough_sum, everywhere=False), rounding=True),
    "sums in bfloat16": Fault(products(rough_sum, everywhere=True), rounding=True),
    "products of bfloat16": Fault(products(rough_operands, everywhere=True), rounding=True),
    "bias fades": Fault(bias_fades),
    "epsilon grows": Fault(epsilon_grows, rounding=True),
    "the other GELU": Fault(the_other_gelu, rounding=True),
    "levels exchanged": Fault(levels_exchanged, ("qwen3_vl",)),
    "last frame fades": Fault(last_frame_fades, ("kimi_k25",)),
}


def of_family(family: str) -> Iterator[str]:
    return (name for name, fault in FAULTS.items() if family in fault.families)
