"""The exact tower: integer arithmetic that shows which bytes, in which order, shape and company, made each row.

A row is a 64-bit mix spread over lanes below 256, so that float32 and bfloat16 hold it exactly. It depends on the row's
own patches, on the order of all patches of its attention segment, and on everything else that may affect a row; never on
the item's index in the call or on the request. ``closed_form.py`` computes the same in plain integers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NoReturn

import torch
from torch import Tensor

from plumbline.closed_form import FAULT_BYTE, extra_numbers, head_code, text_code
from plumbline.interface import Encoded, Layout, Modality, Packed, PackedItem, Tower, TowerSpec
from plumbline.scenario import ITEMSIZE, VOCABULARY, TowerRecipe, mix

_VIEWS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _weights(first: int, count: int) -> Tensor:
    return torch.tensor([_signed(mix(k + first) | 1) for k in range(count)], dtype=torch.int64)


_ELEMENTS, _MERGED = _weights(1, 256), _weights(9, 4096)


@lru_cache
def _of_places(capacity: int) -> Tensor:
    """[capacity] weights of the patches of an attention segment."""
    return _weights(77, capacity)


def _mix(z: Tensor) -> Tensor:
    """splitmix64's finaliser on int64, with logical shifts."""
    z = (z ^ (z >> 30 & (1 << 34) - 1)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> 27 & (1 << 37) - 1)) * _signed(0x94D049BB133111EB)
    return z ^ (z >> 31 & (1 << 33) - 1)


class TowerFault(RuntimeError):
    """What a tower raises, among others."""


def fault(number: int) -> Exception:
    """What towers raise: with words or without, with a number first, at length, and in any language."""
    kinds: tuple[Callable[[], Exception], ...] = (
        lambda: TowerFault("a faulty item"),
        AssertionError,
        lambda: OSError(28, "No space left on device"),
        MemoryError,
        lambda: RuntimeError("x" * (number % 7) + "\N{SNOWMAN}\U0001f5bc" * 300),
        lambda: KeyError(3),
    )
    return kinds[number % len(kinds)]()


class Contradiction(ValueError):
    """A call that says of itself what is not so: no encoder may make one."""


class UnsteadyTower:
    """A tower that raises in some of its calls, counted from 0, whatever is in them: there was no memory at that moment."""

    def __init__(self, tower: Tower, failing: tuple[int, ...]) -> None:
        self._tower, self._failing = tower, failing
        self.spec = tower.spec
        self._calls = 0

    @property
    def epoch(self) -> int:
        return self._tower.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._tower.epoch = epoch

    def __call__(self, packed: Packed) -> Encoded:
        self._calls += 1
        if self._calls - 1 in self._failing:
            error = TowerFault("there was no memory for this call")
            raise error from error  # a ring, in which whoever looks for the first cause goes round for ever
        return self._tower(packed)


class ExactTower:
    """Rows as bytes of a mix. Raises Contradiction where a call contradicts itself, and a ``fault`` on each faulty item."""

    def __init__(self, recipe: TowerRecipe, spec: TowerSpec, epoch: int = 0) -> None:
        self.recipe, self.spec, self.epoch = recipe, spec, epoch
        self._faults = itertools.count()

    def __call__(self, packed: Packed) -> Encoded:
        try:
            encoded = None if self._has_faults(packed) else self._encoded(packed)
        except Exception as error:
            raise Contradiction(str(error)) from error
        return encoded or self._raise(packed.patches)

    def _encoded(self, packed: Packed) -> Encoded:
        patches = self._patches(packed.patches)
        segments = self._segments(patches, packed.cu_seqlens)
        levels: list[list[Tensor]] = [[] for _ in range(1 + self.spec.side_levels)]
        at = 0
        for item in packed.items:
            count = sum(item.parts)
            for level, out in enumerate(levels):
                out.append(self._rows(item, packed.patches, patches[at : at + count], segments[at : at + count], level))
            at += count
        if at != len(patches):
            raise ValueError(f"{len(patches)} patches for items of {at}")
        rows = [torch.cat(out) if out else self._empty() for out in levels]
        return Encoded(rows[0], tuple(rows[1:]))

    @staticmethod
    def _has_faults(packed: Packed) -> bool:
        at = 0
        for item in packed.items:
            first = packed.patches[at : at + 1]
            at += sum(item.parts)
            if sum(item.parts) and first.contiguous().view(torch.uint8).eq(FAULT_BYTE).all():
                return True
        return False

    def _raise(self, patches: Tensor) -> NoReturn:
        """From an error whose frame holds the patches, as that of an error of torch does."""
        try:
            raise ValueError("an item of nothing but faults")
        except ValueError as error:
            raise fault(next(self._faults)) from error

    def _empty(self) -> Tensor:
        return torch.empty(0, self.spec.hidden_size, dtype=self.spec.dtype)

    @staticmethod
    def _patches(patches: Tensor) -> Tensor:
        """[P] int64: a sum over the elements' bit patterns, each with its own odd weight."""
        size = patches.element_size()
        bits = patches.reshape(len(patches), math.prod(patches.shape[1:])).contiguous().view(_VIEWS[size])
        wide = bits.to(torch.int64)
        if size < 8:
            wide &= (1 << 8 * size) - 1
        return ((wide + 1) * _ELEMENTS[: wide.shape[1]]).sum(1)

    @staticmethod
    def _segments(patches: Tensor, cu_seqlens: Tensor) -> Tensor:
        """[P] int64: for each patch, the order-sensitive sum over its attention segment."""
        bounds = cu_seqlens.tolist()
        if bounds[0] != 0 or bounds[-1] != len(patches) or any(a > b for a, b in itertools.pairwise(bounds)):
            raise ValueError(f"cu_seqlens {bounds} do not partition {len(patches)} patches")
        out = torch.empty_like(patches)
        for lo, hi in itertools.pairwise(bounds):
            weights = _of_places(1 << max(12, (hi - lo).bit_length()))
            out[lo:hi] = (patches[lo:hi] * weights[: hi - lo]).sum()
        return out

    def _rows(self, item: PackedItem, seen: Tensor, patches: Tensor, segments: Tensor, level: int) -> Tensor:
        layout = self.spec.layouts[item.modality]
        head = self._head(item, seen, level)
        if layout.has_grid:
            places = patches.view(shared_frames(item, layout), -1, layout.merge**2).transpose(0, 1).flatten(1)
            own = (places * _MERGED[: places.shape[1]]).sum(1)
            segment = segments[:: layout.merge**2][: len(own)]
        else:
            own = patches.repeat_interleave(layout.rows_per_tile)
            own = own * _MERGED[0]
            segment = segments.repeat_interleave(layout.rows_per_tile)
        index = torch.arange(len(own), dtype=torch.int64)
        own = _mix(own + index * _signed(0xA24BAED4963EE407))
        blocks = torch.arange(self.spec.hidden_size // 8, dtype=torch.int64)
        words = _mix(_signed(head) ^ own[:, None] ^ _mix(segment[:, None] + blocks * 31 + 7))
        return words.contiguous().view(torch.uint8).to(self.spec.dtype)

    def _head(self, item: PackedItem, seen: Tensor, level: int) -> int:
        numbers = [text_code(item.modality.value), text_code(str(seen.dtype).removeprefix("torch."))]
        numbers += [seen.dim() - 1, *seen.shape[1:]]
        numbers += [1, *item.grid_thw] if item.grid_thw else [0]
        numbers += [len(item.extras)]
        for name, value in sorted(item.extras.items()):
            plain = tuple(value.tolist()) if isinstance(value, Tensor) else value
            numbers += [text_code(name), *extra_numbers(plain)]
        return head_code([*numbers, self.epoch, level])


def shared_frames(item: PackedItem, layout: Layout) -> int:
    """How many frames share each row of an item with a grid."""
    return item.grid_thw[0] if layout.pools_frames and item.grid_thw else 1


def exact_spec(recipe: TowerRecipe) -> TowerSpec:
    """The specification that implementations see of an exact tower."""
    from plumbline.closed_form import has_grid, placeholder_id

    layouts = {}
    for modality in Modality:
        grid = has_grid(recipe, modality.value)
        layouts[modality] = Layout(
            placeholder_id=placeholder_id(recipe, modality.value),
            patch_shape=recipe.patch_shape,
            has_grid=grid,
            merge=recipe.merge if grid else 1,
            rows_per_tile=1 if grid else recipe.rows_per_tile,
            pools_frames=grid and recipe.pools_frames,
        )
    return TowerSpec(
        name="exact",
        hidden_size=recipe.hidden,
        side_levels=recipe.side_levels,
        vocab_size=VOCABULARY,
        dtype=getattr(torch, recipe.row_dtype),
        payload_dtypes=frozenset(getattr(torch, name) for name in ITEMSIZE),
        layouts=layouts,
        moves_input=recipe.moves_input,
    )
