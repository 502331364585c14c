"""The kernel of ``attention_triton.py``."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def half(base, first, size, inside, PARTIAL: tl.constexpr, ACROSS: tl.constexpr):
    """Numbers ``first`` of the heads at ``base``, below ``size``. PARTIAL: only those ``inside``. ACROSS: keys in columns."""
    if ACROSS:
        at, fits, inside = base[None, :] + first[:, None], first[:, None] < size, inside[None, :]
    else:
        at, fits, inside = base[:, None] + first[None, :], first[None, :] < size, inside[:, None]
    if PARTIAL:
        return tl.load(at, mask=fits & inside, other=0.0)
    return tl.load(at, mask=fits, other=0.0)


@triton.jit
def step(
    state,
    q_one,
    q_two,
    base,
    inside,
    scale,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    PARTIAL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One block of keys. state: running sums of both halves of a head, the highest score so far, and the sum of shares."""
    sum_one, sum_two, top, total = state
    one, two = tl.arange(0, FIRST), FIRST + tl.arange(0, REST)
    k, v = base + HEADS * SIZE, base + 2 * HEADS * SIZE
    scores = tl.dot(q_one, half(k, one, FIRST, inside, PARTIAL, True), input_precision=PRECISION)
    if SIZE > FIRST:
        scores = tl.dot(q_two, half(k, two, SIZE, inside, PARTIAL, True), scores, input_precision=PRECISION)
    if PARTIAL:
        scores = tl.where(inside[None, :], scores, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, 1) * scale)
    shares = tl.math.exp2(scores * scale - higher[:, None])
    fade = tl.math.exp2(top - higher)
    total = total * fade + tl.sum(shares, 1)
    shares = shares.to(q_one.dtype)
    v_one = half(v, one, FIRST, inside, PARTIAL, False)
    sum_one = tl.dot(shares, v_one, sum_one * fade[:, None], input_precision=PRECISION)
    if SIZE > FIRST:
        v_two = half(v, two, SIZE, inside, PARTIAL, False)
        sum_two = tl.dot(shares, v_two, sum_two * fade[:, None], input_precision=PRECISION)
    return sum_one, sum_two, higher, total


@triton.jit
def attend(
    qkv,
    tiles,
    out,
    scale,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    TILE: tl.constexpr,
    KEYS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """scale: of the scores, times log2(e), because ``exp2`` is what the hardware has. FIRST, REST: numbers of a head that are
    computed together; of the rest some may be beyond the head."""
    tile = tiles + 3 * tl.program_id(0)
    row, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    if start == end:
        return
    head = tl.program_id(1) * SIZE
    rows, keys = row + tl.arange(0, TILE), tl.arange(0, KEYS)
    live = rows < end
    one, two = tl.arange(0, FIRST), FIRST + tl.arange(0, REST)
    # A batch of hundreds of large images has more than 2^31 numbers.
    queries = qkv + head + rows.to(tl.int64) * (3 * HEADS * SIZE)
    q_one = half(queries, one, FIRST, live, True, False)
    q_two = half(queries, two, SIZE, live, True, False)
    sum_one, sum_two = tl.zeros((TILE, FIRST), tl.float32), tl.zeros((TILE, REST), tl.float32)
    state = sum_one, sum_two, tl.full((TILE,), float("-inf"), tl.float32), tl.zeros((TILE,), tl.float32)
    # Only the last block is masked: masks in every block cost a tenth.
    whole = start + (end - start) // KEYS * KEYS
    for at in range(start, whole, KEYS):
        base = qkv + head + (at + keys).to(tl.int64) * (3 * HEADS * SIZE)
        state = step(state, q_one, q_two, base, keys < KEYS, scale, HEADS, SIZE, FIRST, REST, False, PRECISION)
    if whole < end:
        base = qkv + head + (whole + keys).to(tl.int64) * (3 * HEADS * SIZE)
        state = step(state, q_one, q_two, base, whole + keys < end, scale, HEADS, SIZE, FIRST, REST, True, PRECISION)
    sum_one, sum_two, _, total = state
    target = out + head + rows.to(tl.int64) * (HEADS * SIZE)
    tl.store(target[:, None] + one[None, :], (sum_one / total[:, None]).to(q_one.dtype), mask=live[:, None])
    if SIZE > FIRST:
        inside = live[:, None] & (two[None, :] < SIZE)
        tl.store(target[:, None] + two[None, :], (sum_two / total[:, None]).to(q_one.dtype), mask=inside)
