"""BLAKE3-256 of bytes that lie on a CUDA device, a batch in one launch of one kernel.

A program takes a run of chunks (of 1 KiB), one lane to a chunk, and leaves their chaining values in memory. Whoever comes
last to a group of ``FAN`` nodes folds them into one node of the next level, and so on up to the root. Groups are aligned
powers of two, and an odd node passes up: that is BLAKE3's tree. Nothing waits, so any number of programs may run at once.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
from __future__ import annotations

import triton
import triton.language as tl

CHUNK: tl.constexpr = tl.constexpr(1024)
COLUMNS: tl.constexpr = tl.constexpr(4)
"""Of the table of items: first program, address, bytes, first node."""
START: tl.constexpr = tl.constexpr(1)
END: tl.constexpr = tl.constexpr(2)
PARENT: tl.constexpr = tl.constexpr(4)
ROOT: tl.constexpr = tl.constexpr(8)


@triton.jit
def rotated(x, by: tl.constexpr):
    return (x >> by) | (x << (32 - by))


@triton.jit
def mixed(a, b, c, d, x, y):
    a = a + b + x
    d = rotated(d ^ a, 16)
    c = c + d
    b = rotated(b ^ c, 12)
    a = a + b + y
    d = rotated(d ^ a, 8)
    c = c + d
    b = rotated(b ^ c, 7)
    return a, b, c, d


@triton.jit
def initial(like):
    """BLAKE3's initial chaining value, for as many lanes as ``like`` has."""
    zero = tl.full(like.shape, 0, tl.uint32)
    return (
        zero + tl.full([], 0x6A09E667, tl.uint32),
        zero + tl.full([], 0xBB67AE85, tl.uint32),
        zero + tl.full([], 0x3C6EF372, tl.uint32),
        zero + tl.full([], 0xA54FF53A, tl.uint32),
        zero + tl.full([], 0x510E527F, tl.uint32),
        zero + tl.full([], 0x9B05688C, tl.uint32),
        zero + tl.full([], 0x1F83D9AB, tl.uint32),
        zero + tl.full([], 0x5BE0CD19, tl.uint32),
    )


@triton.jit
def compressed(cv, m, counter, size, flags):
    """BLAKE3's compression function, truncated to 256 bits. cv: 8 words. m: 16 words. All of uint32 [lanes]."""
    v0, v1, v2, v3, v4, v5, v6, v7 = cv
    v8, v9, v10, v11, _, _, _, _ = initial(counter)
    v12 = counter
    v13 = tl.full(counter.shape, 0, tl.uint32)
    v14 = size
    v15 = flags
    for _ in tl.static_range(7):
        v0, v4, v8, v12 = mixed(v0, v4, v8, v12, m[0], m[1])
        v1, v5, v9, v13 = mixed(v1, v5, v9, v13, m[2], m[3])
        v2, v6, v10, v14 = mixed(v2, v6, v10, v14, m[4], m[5])
        v3, v7, v11, v15 = mixed(v3, v7, v11, v15, m[6], m[7])
        v0, v5, v10, v15 = mixed(v0, v5, v10, v15, m[8], m[9])
        v1, v6, v11, v12 = mixed(v1, v6, v11, v12, m[10], m[11])
        v2, v7, v8, v13 = mixed(v2, v7, v8, v13, m[12], m[13])
        v3, v4, v9, v14 = mixed(v3, v4, v9, v14, m[14], m[15])
        m = (
            m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13],
            m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8],
        )  # fmt: skip
    return (v0 ^ v8, v1 ^ v9, v2 ^ v10, v3 ^ v11, v4 ^ v12, v5 ^ v13, v6 ^ v14, v7 ^ v15)


@triton.jit
def chosen(condition, a, b):
    """Of 8 words each."""
    return (
        tl.where(condition, a[0], b[0]), tl.where(condition, a[1], b[1]),
        tl.where(condition, a[2], b[2]), tl.where(condition, a[3], b[3]),
        tl.where(condition, a[4], b[4]), tl.where(condition, a[5], b[5]),
        tl.where(condition, a[6], b[6]), tl.where(condition, a[7], b[7]),
    )  # fmt: skip


@triton.jit
def loaded(words, size):
    """16 words from each lane's address, as 4 tiles [lanes, 4]. size: [lanes], bytes; past them nothing is read but the rest
    of 16 bytes that begin before."""
    at = words[:, None] + tl.arange(0, 4)[None, :]
    have = size[:, None]
    return (
        tl.load(at, mask=have > 0, other=0),
        tl.load(at + 4, mask=have > 16, other=0),
        tl.load(at + 8, mask=have > 32, other=0),
        tl.load(at + 12, mask=have > 48, other=0),
    )


@triton.jit
def split4(tile):
    even, odd = tl.split(tile.reshape(tile.shape[0], 2, 2))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    return a, b, c, d


@triton.jit
def words_of(tiles):
    """16 words of [lanes]."""
    m0, m1, m2, m3 = split4(tiles[0])
    m4, m5, m6, m7 = split4(tiles[1])
    m8, m9, m10, m11 = split4(tiles[2])
    m12, m13, m14, m15 = split4(tiles[3])
    return (m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)


@triton.jit
def cut(tile, left):
    """The tile with zeros for the bytes from each word's byte ``left`` on."""
    bits = 8 * tl.minimum(tl.maximum(left, 0), 3)
    kept = (tl.full([], 1, tl.uint32) << bits.to(tl.uint32)) - 1
    return tl.where(left >= 4, tile, tile & kept)


@triton.jit
def leaves(source, size, chunk, only, LANES: tl.constexpr):
    """Chaining values of ``LANES`` chunks. source: address. size: bytes from there on. chunk: number of the first. only:
    whether it is the item's only one."""
    lane = tl.arange(0, LANES)
    size = tl.minimum(size, LANES * CHUNK).to(tl.int32)
    mine = tl.minimum(tl.maximum(size - lane * CHUNK, 0), CHUNK)
    last = tl.maximum((mine + 63) // 64, 1) - 1
    words = tl.multiple_of(source.to(tl.pointer_type(tl.uint32)), 16) + lane * (CHUNK // 4)
    partial = size < LANES * CHUNK
    counter = (chunk + lane).to(tl.uint32)
    cv = initial(counter)
    tiles = loaded(words, mine)
    blocks = tl.minimum(tl.maximum((size + 63) // 64, 1), 16)
    block = 0
    while block < blocks:
        ahead = loaded(words + (block + 1) * 16, mine - (block + 1) * 64)
        left = tl.minimum(tl.maximum(mine - block * 64, 0), 64)
        if partial:
            ends = left[:, None] - 4 * tl.arange(0, 4)[None, :]
            tiles = (cut(tiles[0], ends), cut(tiles[1], ends - 16), cut(tiles[2], ends - 32), cut(tiles[3], ends - 48))
        flags = (
            tl.where(block == last, END, 0) + tl.where(block == 0, START, 0) + tl.where(only & (block == last), ROOT, 0)
        )
        new = compressed(cv, words_of(tiles), counter, left.to(tl.uint32), flags.to(tl.uint32))
        cv = chosen(block <= last, new, cv)
        tiles = ahead
        block += 1
    return cv


@triton.jit
def keep(nodes, cv, mask):
    """Stores each lane's chaining value. nodes: [lanes], pointers to 8 words."""
    for k in tl.static_range(8):
        tl.store(nodes + k, cv[k], mask=mask)


@triton.jit
def folded(nodes, count, target, top, LANES: tl.constexpr):
    """Folds ``count`` nodes into one, which it leaves at ``target``. top: whether that is the root. The rest is overwritten."""
    while count > 0:
        first = 0
        while 2 * first < count:
            pair = first + tl.arange(0, LANES)
            have = count - 2 * pair
            m = words_of(loaded(nodes + pair * 16, have * 32))
            size = tl.full([LANES], 64, tl.uint32)
            zero = tl.full([LANES], 0, tl.uint32)
            flags = zero + tl.where(top & (count == 2), PARENT + ROOT, PARENT).to(tl.uint32)
            parent = compressed(initial(size), m, zero, size, flags)
            up = tl.where(count <= 2, target, nodes)
            tl.debug_barrier()
            keep(up + pair * 8, chosen(have > 1, parent, m), have > 0)
            first += LANES
        tl.debug_barrier()
        count = tl.where(count > 2, (count + 1) // 2, 0)


@triton.jit
def item_of(table, items, program):
    """The last item whose first program is not past this one."""
    low = 0
    high = items
    while high - low > 1:
        middle = (low + high) // 2
        past = tl.load(table + middle * COLUMNS) > program
        high = tl.where(past, middle, high)
        low = tl.where(past, low, middle)
    return low


@triton.jit(do_not_specialize=["table", "items", "nodes", "counters", "digests"])
def hashing(
    table: tl.int64,
    items: tl.int32,
    nodes: tl.int64,
    counters: tl.int64,
    digests: tl.int64,
    LANES: tl.constexpr,
    FAN: tl.constexpr,
):
    """Addresses: of the table int64 [items, COLUMNS], of nodes uint32 [.., 8], of their counters int32 [..], all zero before
    and after, and of uint32 [items, 8] for the digests."""
    rows = table.to(tl.pointer_type(tl.int64))
    program = tl.program_id(0)
    item = item_of(rows, items, program)
    row = rows + item * COLUMNS
    chunk = (program - tl.load(row)).to(tl.int32) * LANES
    address = tl.load(row + 1)
    size = tl.load(row + 2)
    base = tl.load(row + 3)
    offset = chunk.to(tl.int64) * CHUNK
    count = tl.maximum((size + CHUNK - 1) // CHUNK, 1).to(tl.int32)
    words = tl.multiple_of(nodes.to(tl.pointer_type(tl.uint32)), 32)

    cv = leaves(address + offset, size - offset, chunk, count == 1, LANES)
    lane = tl.arange(0, LANES)
    keep(words + (base + chunk) * 8 + lane * 8, cv, chunk + lane < count)
    tl.debug_barrier()

    index = chunk
    brought = LANES
    going = True
    while going:
        group = index // FAN
        first = group * FAN
        members = tl.minimum(count - first, FAN)
        awaited = (members + brought - 1) // brought
        if awaited > 1:
            counter = counters.to(tl.pointer_type(tl.int32)) + base + count + group
            arrived = tl.atomic_add(counter, 1, sem="acq_rel")
            going = arrived == awaited - 1
            tl.store(counter, 0, mask=going)
        if going:
            top = count <= FAN
            up = words + (base + count + group) * 8
            root = digests.to(tl.pointer_type(tl.uint32)) + item * 8
            folded(words + (base + first) * 8, members, tl.where(top, root, up), top, LANES)
            going = count > FAN
            base += count
            index = group
            count = (count + FAN - 1) // FAN
            brought = 1
