"""How Hypothesis draws scenarios: small items of every kind, and above all near-duplicates of items drawn before.

Equal duplicates hide swaps and independent items hide collisions, so most items are an earlier one with a single change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from plumbline import closed_form
from plumbline.interface import Capability as Cap
from plumbline.malformed import FAULTS
from plumbline.scenario import (
    AFTER_FAILURE,
    EDITS,
    ITEM_PATCHES,
    Content,
    ExtraRecipe,
    GivenRecipe,
    ItemRecipe,
    Op,
    RequestRecipe,
    Scenario,
    TowerRecipe,
    mix,
)

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]

DRAWN = frozenset(
    {
        Cap.VIDEO,
        Cap.TILES,
        Cap.SEVERAL_SPANS,
        Cap.PRECOMPUTED,
        Cap.CALLER_KEYS,
        Cap.SIDE_ROWS,
        Cap.EXTRAS,
        Cap.LAZY,
        Cap.EPOCHS,
        Cap.TRANSPORT,
    }
)
"""Capabilities that decide what is drawn; the others only decide what is judged."""

_CHANCE = {n: st.sampled_from([False] * (n - 1) + [True]) for n in (2, 3, 4, 6, 8, 12)}
_TOWERS = [
    TowerRecipe(),
    TowerRecipe(merge=2),
    TowerRecipe(side_levels=2),
    TowerRecipe(image="tiles"),
    TowerRecipe(merge=2, side_levels=2, row_dtype="bfloat16"),
    TowerRecipe(image="tiles", rows_per_tile=2, patch_shape=(2, 2)),
    TowerRecipe(patch_shape=(2, 2), row_dtype="bfloat16", placeholder_beyond_vocabulary=True),
    TowerRecipe(hidden=16, shared_placeholder=True, patch_shape=(8,)),
    TowerRecipe(patch_shape=(8,), merge=1),
    TowerRecipe(merge=2, placeholder_beyond_vocabulary=True, moves_input=True),
    TowerRecipe(image="tiles", rows_per_tile=3, side_levels=1, moves_input=True, shared_placeholder=True),
    TowerRecipe(hidden=16, side_levels=3, patch_shape=(4, 2), merge=2),
    TowerRecipe(merge=2, pools_frames=True),
    TowerRecipe(pools_frames=True, side_levels=1, row_dtype="bfloat16"),
]
_CHUNKS = [(64,), (64,), (16,), (7,), (4,), (3, 5), (2,), (1, 9), (1,)]
_HICCUPS = [(), (), (), (), (0,), (1,), (2,), (0, 1), (0, 1), (0, 2)]
_STEPS = [0, 1, 1, 2, 2, 3, 4, 6, 8]
_GAPS = [(1,), (0,), (1, 0), (0, 2), (2, 1, 0), (5,)]
_SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 2), (1, 4), (4, 1), (2, 4)]
_PARTS = [
    (1,),
    (2,),
    (0,),
    (3,),
    (1, 2),
    (2, 1),
    (2, 2),
    (2, 3),
    (3, 2),
    (1, 1),
    (1, 1, 1),
    (2, 1, 2),
    (4,),
    (0, 2),
    (5,),
    (2, 0, 1),
    (0,),
    (0, 2),
]
_DTYPES = ("float32", "float32", "bfloat16", "int32", "float16", "int16", "float64", "uint8")
_RARE = ("float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64", "uint8")
"""Those of which torch lacks some operations."""
_TWINS = {"float32": "int32", "int32": "float32", "bfloat16": "float16", "float16": "int16", "int16": "bfloat16"}
_EXTRAS = [
    (ExtraRecipe("fps", 1),),
    (ExtraRecipe("fps", 2),),
    (ExtraRecipe("fps", 1.0),),
    (ExtraRecipe("fps", "1"),),
    (ExtraRecipe("fps", (1,)),),
    (ExtraRecipe("fps", 1, False),),
    (ExtraRecipe("fps", 2, False),),
    (ExtraRecipe("crop", (1, 2)), ExtraRecipe("fps", 0.5)),
    (ExtraRecipe("crop", (1, 2)), ExtraRecipe("note", "x", False)),
]
_KEYS = [
    ("t", "a"),
    ("t", "b"),
    ("u", "a"),
    ("t0", "a"),
    ("t", "0a"),
    ("t", "ab" + "0" * 62),
    ("t", "cd" + "0" * 62),
    ("t", "0" * 62 + "ab"),
    ("t", "0" * 14 + "ab"),
]


def _pick(values: Sequence[T]) -> st.SearchStrategy[T]:
    """One of what is written here. What was drawn is not for it: an extra of 1 is equal to one of 1.0."""
    return _one_of(tuple(values))


@lru_cache(maxsize=500)
def _one_of(values: tuple[T, ...]) -> st.SearchStrategy[T]:
    """Made once: to make a strategy takes Hypothesis longer than to draw from it."""
    return st.sampled_from(values)


@st.composite
def scenarios(draw: Draw, claims: frozenset[Cap], largest: int = 4) -> Scenario:
    """Scenarios that need nothing beyond ``claims``. largest: requests at most."""
    tower = draw(_pick([t for t in _TOWERS if _tower_needs(t) <= claims]))
    if draw(_CHANCE[6]):
        tower = dataclasses.replace(tower, moves_input=not tower.moves_input)
    lazy = Cap.LAZY in claims and draw(_CHANCE[3])
    device = not lazy and draw(_CHANCE[2])
    pool: list[ItemRecipe] = []
    dtypes = draw(_pick([("float32",), _DTYPES, ("float32",), _DTYPES, _RARE]))
    requests: list[RequestRecipe] = []
    for k in range(draw(st.integers(1, largest))):
        alike = requests and draw(_CHANCE[3])
        new = (
            _twin(draw, tower, claims, requests, k)
            if alike
            else _request(draw, tower, claims, pool, k, lazy, device, dtypes)
        )
        weave = new.weave and not (Cap.VIDEO in claims and Cap.SEVERAL_SPANS not in claims)
        requests.append(dataclasses.replace(new, weave=weave))
    hiccups = draw(_pick(_HICCUPS))
    after = [_op(draw, claims, [AFTER_FAILURE])] if hiccups and draw(_CHANCE[3]) else []
    return Scenario(
        tower=tower,
        requests=tuple(requests),
        chunks=draw(_pick(_CHUNKS)),
        running=draw(_pick([4, 1, 2, 3])),
        seats=draw(_pick([4, 4, 2, 1])),
        ahead=draw(_pick([0, 0, 1, 3])),
        cache_rows=draw(_pick([1000, 64, 16, 8, 4, 1, 0])),
        patches_per_call=draw(_pick([1000, 64, 16, 8, 4, 1])),
        prefix_cache=draw(_CHANCE[2]),
        lazy=lazy,
        transport=lazy and Cap.TRANSPORT in claims and draw(_CHANCE[2]),
        prepare_together=draw(_CHANCE[2]),
        eager_retract=not draw(_CHANCE[3]),
        settle_late=draw(_CHANCE[3]),
        hiccups=hiccups,
        retries=draw(_pick([0, 1, 1, 2])),
        linger=draw(_pick([0, 0, 0, 1, 3])),
        ops=(*(_op(draw, claims, _STEPS) for _ in range(draw(_pick([0, 1, 1, 1, 2, 4])))), *after),
    )


def _tower_needs(tower: TowerRecipe) -> set[Cap]:
    needs = {Cap.SIDE_ROWS} if tower.side_levels else set()
    return needs | ({Cap.TILES} if tower.image == "tiles" else set())


def _op(draw: Draw, claims: frozenset[Cap], steps: Sequence[int]) -> Op:
    kinds = ["retract", "abort", "bad_chunk", "admit_twice", "unknown"]
    if Cap.EPOCHS in claims:
        kinds += ["epoch", "epoch"]
    return Op(draw(_pick(steps)), draw(_pick(kinds)), draw(st.integers(0, 14)))


def _request(
    draw: Draw,
    tower: TowerRecipe,
    claims: frozenset[Cap],
    pool: list[ItemRecipe],
    index: int,
    lazy: bool,
    device: bool,
    dtypes: Sequence[str],
) -> RequestRecipe:
    items = []
    for _ in range(draw(_pick([1, 1, 2, 2, 3, 0]))):
        item = (
            _item(draw, tower, claims, dtypes) if not pool or draw(_CHANCE[3]) else _variant(draw, tower, claims, pool)
        )
        pool.append(item)
        if lazy and draw(_CHANCE[12]):
            item = dataclasses.replace(item, fence=True)
        elif lazy and draw(_CHANCE[12]):
            item = dataclasses.replace(item, gone=True)
        elif device and draw(_CHANCE[2]):
            item = dataclasses.replace(item, on_device=True)
        items.append(item)
    reuse = index > 0 and draw(_CHANCE[8])
    return RequestRecipe(
        name="r0" if reuse else f"r{index}",
        items=tuple(items),
        gaps=draw(_pick(_GAPS)),
        text=draw(_pick([0, 0, 1])),
        listing=draw(_pick([0, 0, 1, 2])) if len(items) > 1 else 0,
        weave=len(items) > 1 and draw(_CHANCE[4]),
        bundle=bool(items) and draw(_CHANCE[2]),
        malformed=draw(_pick(list(FAULTS))) if draw(_CHANCE[6]) else "",
        malformed_at=draw(_pick([0, 1, 2])),
        copies=1 if reuse else draw(_pick([1, 1, 1, 2])),
    )


def _twin(
    draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], requests: list[RequestRecipe], index: int
) -> RequestRecipe:
    """An earlier request again, with one item changed in its place: what a prefix cache must tell apart."""
    earlier: RequestRecipe = draw(st.sampled_from(requests))
    items = [dataclasses.replace(i, fence=False, gone=False) for i in earlier.items]
    if items:
        at = draw(st.integers(0, len(items) - 1))
        changed = _variant(draw, tower, claims, [items[at]])
        if closed_form.row_count(tower, changed) == closed_form.row_count(tower, items[at]) or draw(_CHANCE[4]):
            items[at] = changed
    reuse = earlier.copies == 1 and draw(_CHANCE[4])
    name = earlier.name if reuse else f"r{index}"
    return dataclasses.replace(earlier, name=name, items=tuple(items), malformed="")


def _item(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], dtypes: Sequence[str]) -> ItemRecipe:
    kinds = ["image"] * 4
    kinds += ["video"] * 2 if Cap.VIDEO in claims else []
    kinds += ["audio"] if Cap.TILES in claims else []
    kinds += ["precomputed"] * 2 if Cap.PRECOMPUTED in claims else []
    kind = draw(_pick(kinds))
    modality = draw(_pick(["image", "video"] if Cap.VIDEO in claims else ["image"])) if kind == "precomputed" else kind
    grid, parts = _shape(draw, tower, modality)
    item = ItemRecipe(
        modality=modality,
        grid=grid,
        parts=parts,
        dtype=draw(_pick(dtypes)),
        content=Content(draw(_pick([0, 0, 1, 2, 3, -1]))),
    )
    if kind == "precomputed":
        item = _as_rows(item, tower, with_grid=draw(_CHANCE[2]))
        if item.grid is None and draw(_CHANCE[6]):
            item = dataclasses.replace(item, parts=(draw(_pick([9, 20, 40])),))
        if item.grid is None and Cap.TILES in claims and draw(_CHANCE[3]):
            item = _divided(draw, item)
    item = _dress(draw, item, claims)
    free = kind != "precomputed" and not (item.given and item.given.trusted)
    return dataclasses.replace(item, fault=True) if free and draw(_CHANCE[12]) else item


def _shape(draw: Draw, tower: TowerRecipe, modality: str) -> tuple[tuple[int, int, int] | None, tuple[int, ...]]:
    if not closed_form.has_grid(tower, modality):
        return None, draw(_pick(_PARTS))
    h, w = draw(_pick(_SIZES))
    t = draw(_pick([2, 1, 3])) if modality == "video" else 1
    grid = (t, h * tower.merge, w * tower.merge)
    return grid, (t * grid[1] * grid[2],)


def _as_rows(item: ItemRecipe, tower: TowerRecipe, with_grid: bool) -> ItemRecipe:
    """The item's shape as precomputed rows: one row where the tower would give one."""
    count = closed_form.row_count(tower, item)
    grid = item.grid if with_grid else None
    return dataclasses.replace(
        item, source="precomputed", grid=grid, parts=(count,), dtype=tower.row_dtype, fault=False
    )


def _dress(draw: Draw, item: ItemRecipe, claims: frozenset[Cap]) -> ItemRecipe:
    changes: dict[str, Any] = {}
    if Cap.SEVERAL_SPANS in claims and draw(_CHANCE[3]):
        changes["pieces"] = draw(_pick([2, 3]))
        changes["span_order"] = draw(_pick(["ascending", "ascending", "reversed", "rotated"]))
    if draw(_CHANCE[3]):
        changes["strides"] = draw(_pick(["columns", "gaps", "offset", "odd"]))
    if Cap.EXTRAS in claims and draw(_CHANCE[4]):
        changes["extras"] = draw(_pick(_EXTRAS))
    if Cap.CALLER_KEYS in claims and draw(_CHANCE[6]):
        return _given(dataclasses.replace(item, **changes), draw(_pick(_KEYS)), draw(_CHANCE[2]))
    return dataclasses.replace(item, **changes)


def _given(item: ItemRecipe, name: tuple[str, str], trusted: bool) -> ItemRecipe:
    """A trusted key stands for one content, so it decides the seed."""
    tenant, key = name
    content = Content(4 + closed_form.text_code(tenant + "/" + key) % 1000) if trusted else item.content
    return dataclasses.replace(
        item, given=GivenRecipe(tenant, key, trusted), content=content, fault=item.fault and not trusted
    )


def _variant(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], pool: list[ItemRecipe]) -> ItemRecipe:
    """An earlier item again, or with one change."""
    item: ItemRecipe = draw(st.sampled_from(pool))
    changed: ItemRecipe = draw(_pick(_VARIANTS))(draw, tower, claims, item)
    return changed if sum(changed.parts) <= ITEM_PATCHES else item


def _same(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    return item


def _edited(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    if item.given and item.given.trusted:
        return item
    content = dataclasses.replace(item.content, edit=draw(_pick(EDITS)), at=draw(st.integers(0, 7)))
    return dataclasses.replace(item, content=content)


def _retyped(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    if item.source == "precomputed":
        return item
    return dataclasses.replace(item, dtype=_TWINS.get(item.dtype, item.dtype))


def _reshaped(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """Same bytes: transposed grid, frames against height, another division of the tiles."""
    if item.grid:
        t, h, w = item.grid
        options = [(t, w, h)]
        if item.modality == "video":
            options += (
                [(1, t * h, w), (h // tower.merge, tower.merge, t * w)] if item.source == "pixels" else [(1, t * h, w)]
            )
        grid = draw(_pick(options))
        fits = grid[0] * grid[1] * grid[2] == t * h * w and not (grid[1] % tower.merge or grid[2] % tower.merge)
        if item.source == "precomputed":  # as many rows were sent as before
            fits &= closed_form.patches_per_row(tower, grid) == closed_form.patches_per_row(tower, item.grid)
        return dataclasses.replace(item, grid=grid) if fits else item
    return _divided(draw, item) if Cap.TILES in claims else item


def _divided(draw: Draw, item: ItemRecipe) -> ItemRecipe:
    total = sum(item.parts)
    divisions: list[tuple[int, ...]] = [(total,), *((k, total - k) for k in range(total + 1))]
    return dataclasses.replace(item, parts=draw(_pick(divisions)))


def _remodelled(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """Same payload as another modality or from another source."""
    if item.modality == "image" and item.grid and Cap.VIDEO in claims and draw(_CHANCE[2]):
        return dataclasses.replace(item, modality="video")
    if item.source == "precomputed":
        return item
    if item.given is None and Cap.PRECOMPUTED in claims and item.dtype == tower.row_dtype and draw(_CHANCE[2]):
        return _as_rows(item, tower, with_grid=True)
    return dataclasses.replace(item, source="preprocessed" if item.source == "pixels" else "pixels")


def _redressed(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    bare = dataclasses.replace(item, pieces=1, span_order="ascending", strides="contiguous")
    if draw(_CHANCE[2]):
        bare = dataclasses.replace(bare, extras=())
    return _dress(draw, bare, claims)


def _revalued(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """The same extras, one of them with another value: what the images of a bundle differ in."""
    if not item.extras:
        return item
    first, *rest = item.extras
    value = draw(_pick([1, 2, 3, 1.0, "1", (1,), (1, 2)]))
    return dataclasses.replace(item, extras=(dataclasses.replace(first, value=value), *rest))


def _recontent(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """Same shape and clothes, other content."""
    if item.given and item.given.trusted:
        return item
    return dataclasses.replace(item, content=Content(mix(item.content.seed) % 100))


def _rekeyed(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """Same content under another name: tenant, key or trust."""
    if item.given is None:
        return item
    return _given(item, draw(_pick(_KEYS)), item.given.trusted)


def _rolled(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """Same item and positions, spans listed in another order."""
    if Cap.SEVERAL_SPANS not in claims or item.pieces == 1:
        return item
    return dataclasses.replace(item, span_order=draw(_pick(["ascending", "reversed", "rotated"])))


def _faulted(draw: Draw, tower: TowerRecipe, claims: frozenset[Cap], item: ItemRecipe) -> ItemRecipe:
    """The same item, but the tower raises on it (or no longer does)."""
    free = item.source != "precomputed" and not (item.given and item.given.trusted)
    return dataclasses.replace(item, fault=not item.fault) if free else item


_VARIANTS = [
    *(_same, _edited, _edited, _retyped, _reshaped, _remodelled),
    *(_redressed, _revalued, _recontent, _recontent, _rekeyed, _rolled, _faulted),
]
