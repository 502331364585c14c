"""The kernels of ``kernels_cuda.py``: each program makes one row, or a part of one, so no row can depend on others."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def place(
    x,
    records,
    table,
    times,
    FIELDS: tl.constexpr,
    ACROSS: tl.constexpr,
    WIDTH: tl.constexpr,
    TAPS: tl.constexpr,
    TIMED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Adds a patch's place to it: the weighted sum of TAPS x TAPS stored places, after the row of its frame if TIMED."""
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    row = tl.program_id(0).to(tl.int64)
    record = records + row * FIELDS
    if TIMED:
        total = tl.load(times + tl.load(record + FIELDS - 1) * WIDTH + at, mask=inside, other=0.0)
    else:
        total = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(TAPS):
        down = tl.load(record + 2 + i) * ACROSS
        share_down = tl.load(record + 2 + 2 * TAPS + i).to(tl.float32, bitcast=True)
        for j in tl.static_range(TAPS):
            share = share_down * tl.load(record + 2 + 3 * TAPS + j).to(tl.float32, bitcast=True)
            stored = table + (down + tl.load(record + 2 + TAPS + j)) * WIDTH
            total += tl.load(stored + at, mask=inside, other=0.0).to(tl.float32) * share
    own = x + row * WIDTH + at
    tl.store(own, tl.load(own, mask=inside, other=0.0).to(tl.float32) + total, mask=inside)


@triton.jit
def norm_rows(
    x,
    update,
    weight,
    bias,
    out,
    eps,
    WIDTH: tl.constexpr,
    UPDATED: tl.constexpr,
    CENTRED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """x += update, and out = norm(x): by mean and variance if CENTRED, by the root mean square otherwise."""
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    row = tl.program_id(0).to(tl.int64) * WIDTH + at
    value = tl.load(x + row, mask=inside, other=0.0).to(tl.float32)
    if UPDATED:
        # Rounded as it is stored: what is normalised is what later layers read.
        stored = (value + tl.load(update + row, mask=inside, other=0.0).to(tl.float32)).to(x.dtype.element_ty)
        tl.store(x + row, stored, mask=inside)
        value = stored.to(tl.float32)
    if CENTRED:
        value = tl.where(inside, value - tl.sum(value, 0) / WIDTH, 0.0)
    scale = tl.rsqrt(tl.sum(value * value, 0) / WIDTH + eps)
    found = value * scale
    if CENTRED:
        shift = tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)
        found = found * tl.load(weight + at, mask=inside, other=0.0).to(tl.float32) + shift
    else:
        found = found.to(out.dtype.element_ty).to(tl.float32)
        found = found * tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row, found, mask=inside)


@triton.jit
def turn(
    qkv,
    records,
    cos,
    sin,
    FIELDS: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    HEAD_BLOCK: tl.constexpr,
    HALF_BLOCK: tl.constexpr,
):
    """Turns all HEADS of a patch, those of its queries and of its keys, by the angles of its row and its column."""
    HALF: tl.constexpr = HEAD // 2
    QUARTER: tl.constexpr = HEAD // 4
    patch = tl.program_id(0).to(tl.int64)
    record = records + patch * FIELDS
    pair = tl.arange(0, HALF_BLOCK)
    position = tl.where(pair < QUARTER, tl.load(record), tl.load(record + 1))
    angle = position * QUARTER + pair % QUARTER
    c = tl.load(cos + angle, mask=pair < HALF, other=0.0)[None, :]
    s = tl.load(sin + angle, mask=pair < HALF, other=0.0)[None, :]
    head = tl.arange(0, HEAD_BLOCK)
    inside = (head < HEADS)[:, None] & (pair < HALF)[None, :]
    at = qkv + patch * (HEADS // 2 * 3 * HEAD) + head[:, None] * HEAD + pair[None, :]
    first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
    tl.store(at, first * c - second * s, mask=inside)
    tl.store(at + HALF, second * c + first * s, mask=inside)


@triton.jit
def gate(x, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """out = SiLU(first half of x) * second half."""
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < WIDTH
    row = tl.program_id(0).to(tl.int64)
    opened = tl.load(x + row * 2 * WIDTH + at, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(x + row * 2 * WIDTH + WIDTH + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * WIDTH + at, opened / (1.0 + tl.exp(-opened)) * value, mask=inside)


@triton.jit
def mean(x, cells, out, WIDTH: tl.constexpr, MOST: tl.constexpr, BLOCK: tl.constexpr):
    """A row of out is the mean of a cell's rows of x, MOST at most. A cell of none is zero."""
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    cell = tl.program_id(0).to(tl.int64)
    first, step, count = tl.load(cells + 3 * cell), tl.load(cells + 3 * cell + 1), tl.load(cells + 3 * cell + 2)
    total = tl.zeros((BLOCK,), tl.float32)
    for frame in tl.static_range(MOST):
        row = (first + frame * step).to(tl.int64) * WIDTH
        total += tl.load(x + row + at, mask=inside & (frame < count), other=0.0).to(tl.float32)
    tl.store(out + cell * WIDTH + at, total / tl.maximum(count, 1), mask=inside)
