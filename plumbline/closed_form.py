"""The first judge: rows, keys and failures of a scenario in plain integers, before anything is prepared.

Imports no torch, no tower and no digest: it predicts what ``exact.py`` computes from the recipe alone, so the two check
each other. A row is a tuple of bit patterns, one for each lane.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from plumbline.scenario import ITEMSIZE, MASK64, VOCABULARY, ItemRecipe, RequestRecipe, TowerRecipe, mix, payload_bits

FAULT_BYTE = 0xFB
"""An item whose first patch consists of it makes the exact tower raise."""

Row = tuple[int, ...]
Truth = tuple[object, ...]


def text_code(text: str) -> int:
    """A 64-bit number for a name."""
    code = len(text)
    for byte in text.encode():
        code = mix(code * 257 + byte + 1)
    return code


def head_code(numbers: Iterator[int] | list[int]) -> int:
    """Folds everything that a row depends on, apart from its patches, into 64 bits."""
    code = 0
    for number in numbers:
        code = mix((code ^ (number & MASK64)) + 0x632BE59BD9B4E019)
    return code


def extra_numbers(value: object) -> list[int]:
    """An extra's value as numbers, its type first."""
    if isinstance(value, float):
        return [2, int.from_bytes(struct.pack("<d", value), "little")]
    if isinstance(value, int):
        return [1, value]
    if isinstance(value, str):
        return [3, text_code(value)]
    assert isinstance(value, tuple)
    return [4, len(value), *value]


def row_count(tower: TowerRecipe, item: ItemRecipe) -> int:
    """Rows of an item: by its grid, its tiles, or as many as were sent."""
    total = sum(item.parts)
    if item.source == "precomputed":
        return total
    if has_grid(tower, item.modality):
        return total // patches_per_row(tower, item.grid)
    return total * tower.rows_per_tile


def patches_per_row(tower: TowerRecipe, grid: tuple[int, int, int] | None) -> int:
    """Patches that make one row: neighbours in a frame, and with ``pools_frames`` those at their place in every frame."""
    return tower.merge**2 * (grid[0] if grid and tower.pools_frames else 1)


def has_grid(tower: TowerRecipe, modality: str) -> bool:
    return modality == "video" or (modality == "image" and tower.image == "grid")


def patch_width(tower: TowerRecipe, item: ItemRecipe) -> int:
    """Elements of one entry of dim 0 of the payload."""
    if item.source == "precomputed":
        return tower.hidden * (1 + tower.side_levels)
    width = 1
    for size in tower.patch_shape:
        width *= size
    return width


def bits(tower: TowerRecipe, item: ItemRecipe) -> tuple[Row, ...]:
    """[patches][width] bit patterns; the first patch of a faulty item is all FAULT_BYTE."""
    width, size = patch_width(tower, item), ITEMSIZE[item.dtype]
    plain = payload_bits(item.content, sum(item.parts), width, size)
    if not item.fault or not plain:
        return plain
    return ((int.from_bytes(bytes([FAULT_BYTE]) * size, "little"),) * width, *plain[1:])


def rows(tower: TowerRecipe, item: ItemRecipe, epoch: int) -> tuple[tuple[Row, ...], ...]:
    """[1 + side_levels][row] -> lanes as bit patterns of the tower's row dtype."""
    if item.source == "precomputed":
        payload, h = bits(tower, item), tower.hidden
        return tuple(tuple(row[s * h : (s + 1) * h] for row in payload) for s in range(1 + tower.side_levels))
    return _encoded(tower, item.modality, item.grid, item.parts, item.dtype, item.content, _affecting(item), epoch)


def _affecting(item: ItemRecipe) -> tuple[tuple[str, str, object], ...]:
    """Names, types and values: for Python 1 and 1.0 are equal, for a tower they are not."""
    return tuple(sorted((e.name, type(e.value).__name__, e.value) for e in item.extras if e.affects_rows))


def segments_of(tower: TowerRecipe, grid: tuple[int, int, int] | None, parts: tuple[int, ...]) -> list[int]:
    """Patches in each attention segment of an item, in order; one for each part where there is no grid, also of an empty one."""
    if not grid:
        return list(parts)
    frames, height, width = grid
    return [frames * height * width] if tower.pools_frames else [height * width] * frames


@lru_cache(maxsize=2048)
def _encoded(
    tower: TowerRecipe,
    modality: str,
    grid: tuple[int, int, int] | None,
    parts: tuple[int, ...],
    dtype: str,
    content: object,
    extras: tuple[tuple[str, str, object], ...],
    epoch: int,
) -> tuple[tuple[Row, ...], ...]:
    item = ItemRecipe(modality=modality, grid=grid, parts=parts, dtype=dtype, content=content)  # type: ignore[arg-type]
    payload = bits(tower, item)
    patches = [sum((b + 1) * (mix(j + 1) | 1) for j, b in enumerate(patch)) & MASK64 for patch in payload]
    lengths = segments_of(tower, grid, parts)
    segment_of = [s for s, length in enumerate(lengths) for _ in range(length)]
    starts = [sum(lengths[:s]) for s in range(len(lengths))]
    segments = [0] * len(lengths)
    for p, patch in enumerate(patches):
        s = segment_of[p]
        segments[s] = (segments[s] + patch * (mix(p - starts[s] + 77) | 1)) & MASK64
    per_row = patches_per_row(tower, grid) if grid else 1
    repeat = 1 if grid else tower.rows_per_tile
    area, merged = (grid[1] * grid[2], tower.merge**2) if grid else (1, 1)
    numbers = [text_code(modality), text_code(dtype), len(tower.patch_shape), *tower.patch_shape]
    numbers += [1, *grid] if grid else [0]
    numbers += [len(extras)]
    for name, _, value in extras:
        numbers += [text_code(name), *extra_numbers(value)]
    levels = []
    for level in range(1 + tower.side_levels):
        head = head_code([*numbers, epoch, level])
        level_rows = []
        for r in range(len(patches) // per_row * repeat):
            first = r // repeat * merged
            at = [first + q // merged * area + q % merged for q in range(per_row)]  # one frame after the other
            own = sum(patches[p] * (mix(q + 9) | 1) for q, p in enumerate(at)) & MASK64
            lanes: list[int] = []
            for block in range(tower.hidden // 8):
                word = mix(head ^ mix(own + r * 0xA24BAED4963EE407) ^ mix(segments[segment_of[first]] + block * 31 + 7))
                lanes += word.to_bytes(8, "little")
            level_rows.append(tuple(ROW_BITS[tower.row_dtype][lane] for lane in lanes))
        levels.append(tuple(level_rows))
    return tuple(levels)


def _float32_bits(value: int) -> int:
    return int.from_bytes(struct.pack("<f", float(value)), "little")


ROW_BITS = {
    "float32": [_float32_bits(v) for v in range(256)],
    "bfloat16": [_float32_bits(v) >> 16 for v in range(256)],
}


def placeholder_id(tower: TowerRecipe, modality: str) -> int:
    """Placeholders are the last ids of the vocabulary, or lie beyond it."""
    index = 0 if tower.shared_placeholder else ("image", "video", "audio").index(modality)
    return (VOCABULARY + 1000 if tower.placeholder_beyond_vocabulary else VOCABULARY - 3) + index


@dataclass(frozen=True)
class Prompt:
    """A request laid out: token ids, spans of each item in row order, and what each position holds."""

    token_ids: tuple[int, ...]
    spans: tuple[tuple[tuple[int, int], ...], ...]
    owner: tuple[tuple[int, int] | None, ...]


@lru_cache(maxsize=1024)
def lay_out(tower: TowerRecipe, request: RequestRecipe) -> Prompt:
    """Cuts each item's rows into spans, places the spans with text between them, and fills in the ids."""
    if request.tokens:
        return _as_recorded(tower, request)
    slots = []
    for i, item in enumerate(request.items):
        lengths = _cut(tower, item)
        order = list(range(len(lengths)))
        if item.span_order == "reversed":
            order.reverse()
        elif item.span_order == "rotated":
            order = order[1:] + order[:1]
        # order[k] is the row piece that lies k-th in the prompt
        slots.append([(i, piece, lengths[piece]) for piece in order])
    if request.weave:
        depth = max((len(s) for s in slots), default=0)
        sequence = [s[k] for k in range(depth) for s in slots if k < len(s)]
    else:
        sequence = [slot for s in slots for slot in s]
    ids: list[int] = []
    owner: list[tuple[int, int] | None] = []
    spans: list[dict[int, tuple[int, int]]] = [{} for _ in request.items]
    before = [[sum(_cut(tower, item)[:p]) for p in range(99)] for item in request.items]

    def text(count: int) -> None:
        for _ in range(count):
            ids.append(mix(request.text * 131 + len(ids)) % 4)
            owner.append(None)

    for k, (i, piece, length) in enumerate(sequence):
        text(request.gaps[k % len(request.gaps)])
        spans[i][piece] = (len(ids), len(ids) + length)
        for q in range(length):
            ids.append(placeholder_id(tower, request.items[i].modality))
            owner.append((i, before[i][piece] + q))
    text(request.gaps[len(sequence) % len(request.gaps)] or (not ids))
    return Prompt(tuple(ids), tuple(tuple(s[p] for p in sorted(s)) for s in spans), tuple(owner))


def _as_recorded(tower: TowerRecipe, request: RequestRecipe) -> Prompt:
    ids = [mix(request.text * 131 + at) % 4 for at in range(request.tokens)]
    owner: list[tuple[int, int] | None] = [None] * request.tokens
    for i, (item, spans) in enumerate(zip(request.items, request.spans, strict=True)):
        for row, at in enumerate(at for lo, hi in spans for at in range(lo, hi)):
            ids[at], owner[at] = placeholder_id(tower, item.modality), (i, row)
    return Prompt(tuple(ids), request.spans, tuple(owner))


def _cut(tower: TowerRecipe, item: ItemRecipe) -> list[int]:
    """Lengths of an item's spans: one for each frame that has rows of its own, else ``pieces`` of nearly equal length."""
    total = row_count(tower, item)
    if not total:
        return []
    apart = item.modality == "video" and not tower.pools_frames
    frames = item.grid[0] if apart and item.grid and total % item.grid[0] == 0 else 0
    pieces = frames or min(item.pieces, total)
    return [total * (p + 1) // pieces - total * p // pieces for p in range(pieces)]


def truth(tower: TowerRecipe, item: ItemRecipe) -> Truth:
    """What an item is: two items are equal exactly where these are."""
    kind = "rows" if item.source == "precomputed" else "features"
    shape = (item.dtype, item.parts, patch_width(tower, item) if kind == "rows" else tower.patch_shape)
    metadata = (kind, item.modality, item.grid, shape, _affecting(item))
    if item.given and item.given.trusted:
        return ("trusted", item.given.tenant, item.given.key, *metadata)
    content = bits(tower, item)
    if item.given:
        return ("verified", item.given.tenant, item.given.key, *metadata, content)
    return ("content", *metadata, content)


def position_truths(tower: TowerRecipe, request: RequestRecipe) -> tuple[object, ...]:
    """For each position, what a prefix cache must tell apart: the token id, or the item and the row."""
    prompt = lay_out(tower, request)
    truths = [truth(tower, item) for item in request.items]
    return tuple(
        token if at is None else (hash(truths[at[0]]), truths[at[0]], at[1])
        for token, at in zip(prompt.token_ids, prompt.owner, strict=True)
    )
