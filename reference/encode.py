"""From an item to its rows: one tower call for each item."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from traceback import format_exception_only

import torch
from torch import Tensor

from plumbline.interface import (
    DevicePort,
    Encoded,
    EncodingFailed,
    Item,
    Layout,
    Packed,
    PackedItem,
    Part,
    PayloadMissing,
    PlumblineError,
    Source,
    Tower,
    TowerSpec,
)


@dataclass(frozen=True, eq=False)
class OneByOne:
    """The ``Encoder`` around a tower."""

    tower: Tower
    port: DevicePort

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        return encode(items, self.tower, self.port)


@torch.no_grad()
def encode(items: Sequence[Item], tower: Tower, port: DevicePort) -> list[Encoded | PlumblineError]:
    """One result for each item, in order: its rows and side rows, or its own error.

    Alone in its call, an item cannot be changed or failed by another, nor share the budget of a call with one.
    ENC-001, ENC-003, ENC-006, ENC-009, ENC-010, ENC-012, ENC-014, NUM-005. An error that is not typed becomes
    EncodingFailed, with the error as its cause.
    """
    results: list[Encoded | PlumblineError] = []
    for item in items:
        try:
            results.append(encode_one(item, tower, port))
        except PlumblineError as error:
            results.append(error)
        except Exception as error:  # of the tower, the port or a lazy payload
            failure = EncodingFailed(f"tower {tower.spec.name}: {''.join(format_exception_only(error)).strip()}")
            failure.__cause__ = error
            results.append(failure)
    return results


def encode_one(item: Item, tower: Tower, port: DevicePort) -> Encoded:
    """Rows of one item: from the tower, or as the caller computed them.

    A tower that moves its input gets the payload where it is, any other on the port's device. MOVE-001, MOVE-002, MOVE-012,
    ENC-008, ENC-013. Raises PayloadMissing, EncodingFailed, and what the tower, the port or a lazy payload raises.
    """
    spec = tower.spec
    if item.payload is None:
        raise PayloadMissing("an item without a payload", hint="send the request again with its payload")
    patches = patches_of(item, port)
    if item.source is Source.PRECOMPUTED:
        return precomputed(port.move(patches), spec)
    rows = row_count(item, spec)
    if rows == 0:  # an empty slice list: there is nothing to read, and towers need not take empty input
        empty = torch.empty(0, spec.hidden_size, dtype=spec.dtype, device=port.device)
        return Encoded(empty, (empty,) * spec.side_levels)
    cu_seqlens = segments(item, spec.layouts[item.modality])
    packed = Packed(patches if spec.moves_input else port.move(patches), cu_seqlens, (tower_item(item),))
    encoded = tower(packed)
    levels = [(tuple(level.shape), level.dtype) for level in (encoded.rows, *encoded.side)]
    due = [((rows, spec.hidden_size), spec.dtype)] * (1 + spec.side_levels)
    if levels != due:
        raise EncodingFailed(f"tower {spec.name} gave rows {levels}, not {due}")
    return encoded


def parts_of(item: Item) -> tuple[Part, ...]:
    """The payload's tensors or features, in order; none without a payload."""
    if item.payload is None:
        return ()
    return item.payload if isinstance(item.payload, tuple) else (item.payload,)


def length(part: Part) -> int:
    """Size of dim 0: patches, tiles or precomputed rows."""
    return part.shape[0] if isinstance(part, Tensor) else part.meta.shape[0]


def size(item: Item) -> int:
    """Patches, tiles or precomputed rows of the whole payload."""
    return sum(length(part) for part in parts_of(item))


def row_count(item: Item, spec: TowerSpec) -> int:
    """How many rows a one-image item has: of its grid, or ``rows_per_tile`` for every tile; zero is a number too.

    ITEM-009, ITEM-011, ITEM-014.
    """
    layout = spec.layouts[item.modality]
    if item.source is Source.PRECOMPUTED:
        return size(item)
    if item.grid_thw is None:
        return size(item) * layout.rows_per_tile
    return grid_rows(grid_of(item.grid_thw), layout)


def grid_rows(grid: tuple[int, int, int], layout: Layout) -> int:
    """Rows of a grid: those of each frame, or of one where all frames share them. ITEM-014."""
    frames, height, width = grid
    return (1 if layout.pools_frames else frames) * height * width // layout.merge**2


def patches_of(item: Item, port: DevicePort) -> Tensor:
    """The whole payload, [P, ...], contiguous, in the dtype in which it came. Lazy parts are opened on the device.

    ITEM-010, ENC-004.
    """
    parts = [part if isinstance(part, Tensor) else part.open(port.device) for part in parts_of(item)]
    return torch.cat(parts).contiguous()


def grid_of(grid_thw: Tensor) -> tuple[int, int, int]:
    """Frames, height and width of a one-image item, in patches."""
    frames, height, width = grid_thw[0].tolist()
    return frames, height, width


def segments(item: Item, layout: Layout) -> Tensor:
    """CPU int64 [S + 1]: where attention starts and ends. One segment per frame, or one for all where the layout pools
    them; without a grid one per payload tensor.

    ITEM-013, ENC-005.
    """
    if item.grid_thw is None:
        lengths = [length(part) for part in parts_of(item)]
    elif layout.pools_frames:
        lengths = [size(item)]
    else:
        frames, height, width = grid_of(item.grid_thw)
        lengths = [height * width] * frames
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int64)


def tower_item(item: Item) -> PackedItem:
    """What the tower knows of the item; of its extras those that affect rows. ENC-011."""
    return PackedItem(
        modality=item.modality,
        grid_thw=None if item.grid_thw is None else grid_of(item.grid_thw),
        parts=tuple(length(part) for part in parts_of(item)),
        extras={name: extra.value for name, extra in item.extras.items() if extra.affects_rows},
    )


def precomputed(columns: Tensor, spec: TowerSpec) -> Encoded:
    """[R, hidden_size * (1 + side_levels)] cut into main rows and one tensor per side level, bit for bit. ITEM-012."""
    rows, *side = torch.split(columns, spec.hidden_size, dim=1)
    return Encoded(rows, tuple(side))
