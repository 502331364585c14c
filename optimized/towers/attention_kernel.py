"""The kernel of ``attention_triton.py``."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def part(base, columns, SIZE: tl.constexpr):
    """[rows, columns] at the rows ``base``; zero from column SIZE on."""
    return tl.load(base[:, None] + columns[None, :], mask=columns[None, :] < SIZE, other=0.0)


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
    computed together; of the rest some may be beyond the head.

    Rows beyond the segment stand for its last one, so that no load of a row needs a mask; their shares are zero. One loop for
    whole and partial blocks of keys: Triton 3.6 gave another product after the loop addresses out of shared memory.
    """
    tile = tiles + 3 * tl.program_id(0)
    row, start, end = tl.load(tile), tl.load(tile + 1), tl.load(tile + 2)
    if start == end:
        return
    WIDTH: tl.constexpr = HEADS * SIZE
    head = tl.program_id(1) * SIZE
    one, two = tl.arange(0, FIRST), FIRST + tl.arange(0, REST)
    rows, keys = row + tl.arange(0, TILE), tl.arange(0, KEYS)
    # A batch of hundreds of large images has more than 2^31 numbers.
    queries = qkv + head + tl.minimum(rows, end - 1).to(tl.int64) * (3 * WIDTH)
    q_one, q_two = part(queries, one, SIZE), part(queries, two, SIZE)
    sum_one, sum_two = tl.zeros((TILE, FIRST), tl.float32), tl.zeros((TILE, REST), tl.float32)
    top, total = tl.full((TILE,), float("-inf"), tl.float32), tl.zeros((TILE,), tl.float32)
    for at in range(start, end, KEYS):
        k = qkv + head + WIDTH + tl.minimum(at + keys, end - 1).to(tl.int64) * (3 * WIDTH)
        scores = tl.dot(q_one, tl.trans(part(k, one, SIZE)), input_precision=PRECISION)
        if SIZE > FIRST:
            scores = tl.dot(q_two, tl.trans(part(k, two, SIZE)), scores, input_precision=PRECISION)
        if at + KEYS > end:
            scores = tl.where((at + keys < end)[None, :], scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1) * scale)
        shares = tl.math.exp2(scores * scale - higher[:, None])
        fade = tl.math.exp2(top - higher)
        top, total = higher, total * fade + tl.sum(shares, 1)
        shares = shares.to(q_one.dtype)
        sum_one = tl.dot(shares, part(k + WIDTH, one, SIZE), sum_one * fade[:, None], input_precision=PRECISION)
        if SIZE > FIRST:
            sum_two = tl.dot(shares, part(k + WIDTH, two, SIZE), sum_two * fade[:, None], input_precision=PRECISION)
    target = out + head + rows.to(tl.int64) * WIDTH
    live = rows[:, None] < end
    tl.store(target[:, None] + one[None, :], (sum_one / total[:, None]).to(q_one.dtype), mask=live)
    if SIZE > FIRST:
        inside = live & (two[None, :] < SIZE)
        tl.store(target[:, None] + two[None, :], (sum_two / total[:, None]).to(q_one.dtype), mask=inside)
