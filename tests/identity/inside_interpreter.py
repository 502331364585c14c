"""BLAKE3 on a device, in Triton's interpreter, against the package ``blake3``.

A compression takes the interpreter 0.1 s. So it is tested alone, with few blocks, and everything else around one in numpy.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import triton.language as tl
from blake3 import blake3
from numpy.typing import NDArray
from triton.runtime.interpreter import InterpretedFunction, TensorHandle

from optimized import blake3_kernel, blake3_triton, identify
from optimized.blake3_triton import digests, idle, table_of
from plumbline.interface import Item, PlumblineError
from plumbline.parts import image, item_of, rig_of
from plumbline.resolve import resolve
from plumbline.scenario import GivenRecipe, ItemRecipe, TowerRecipe

# Triton's own replaces its whole language again at each call inside a kernel, which takes most of the time.
InterpretedFunction.__call__ = lambda self, *args, **kwargs: self.rewrite()(*args, **kwargs)

BLOCK, CHUNK = 64, 1024
CPU = torch.device("cpu")
INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A)
MIXED = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
MOVED = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)

Words = NDArray[np.uint32]


def compressed(cv: tuple[Any], m: tuple[Any], counter: Any, size: Any, flags: Any) -> tuple[Any, ...]:
    """What the kernel's function of this name does, in numpy."""
    words: list[Words] = [word.handle.data for word in m]
    state: list[Words] = [word.handle.data for word in cv]
    state += [np.full_like(state[0], word) for word in INITIAL]
    state += [counter.handle.data, np.zeros_like(state[0]), size.handle.data, flags.handle.data]
    for _ in range(7):
        for k, (a, b, c, d) in enumerate(MIXED):
            for word, far, near in ((words[2 * k], 16, 12), (words[2 * k + 1], 8, 7)):
                state[a] = state[a] + state[b] + word
                state[d] = rotated(state[d] ^ state[a], far)
                state[c] = state[c] + state[d]
                state[b] = rotated(state[b] ^ state[c], near)
        words = [words[k] for k in MOVED]
    made = [low ^ high for low, high in zip(state[:8], state[8:], strict=True)]
    return tuple(tl.tensor(TensorHandle(values, tl.uint32), counter.type) for values in made)


def rotated(words: Words, by: int) -> Words:
    return words >> np.uint32(by) | words << np.uint32(32 - by)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The kernel compresses in numpy, and has few lanes, so that a few KiB take several programs and levels."""
    monkeypatch.setattr(blake3_kernel, "compressed", compressed)
    use(monkeypatch, 4, 4)
    return monkeypatch


def use(monkeypatch: pytest.MonkeyPatch, lanes: int, fan: int) -> None:
    monkeypatch.setattr(blake3_triton, "LANES", lanes)
    monkeypatch.setattr(blake3_triton, "FAN", fan)


def drawn(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(sizes))
    return [torch.randint(0, 256, (size,), dtype=torch.uint8, generator=generator) for size in sizes]


def expected(tensors: Sequence[torch.Tensor]) -> list[bytes]:
    return [blake3(bytes(identify.raw_bytes(tensor).data)).digest() for tensor in tensors]


def test_compression() -> None:
    """One block and two; and three chunks, the last of one byte, with the nodes above them."""
    tensors = drawn(0, 1, 3, 4, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * CHUNK + 1)
    assert digests(tensors) == expected(tensors)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("chunks", [0, 1, 4])
def test_edges_of_blocks_and_chunks(chunks: int) -> None:
    """Whole chunks, and every kind of beginning of another, in one batch."""
    beyond = [0, 1, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1, CHUNK - BLOCK, CHUNK - BLOCK + 1, CHUNK - 1]
    tensors = drawn(*(chunks * CHUNK + size for size in beyond))
    assert digests(tensors) == expected(tensors)


@pytest.mark.parametrize(("lanes", "fan", "chunks"), [(1, 2, (2, 3, 5)), (2, 8, (7, 8, 17)), (8, 8, (8, 9, 65))])
def test_trees_of_all_forms(quick: pytest.MonkeyPatch, lanes: int, fan: int, chunks: Sequence[int]) -> None:
    """Groups of one program, of several and of nodes; with and without a rest; up to three levels of them."""
    use(quick, lanes, fan)
    tensors = drawn(*(count * CHUNK - 5 for count in chunks))
    assert digests(tensors) == expected(tensors)


def test_programs_and_groups_of_the_size_that_devices_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blake3_kernel, "compressed", compressed)
    assert (blake3_triton.LANES, blake3_triton.FAN) == (128, 256)
    tensors = drawn(300 * CHUNK + 77, 128 * CHUNK, 5)
    assert digests(tensors) == expected(tensors)


@pytest.mark.usefixtures("quick")
def test_batches_of_mixed_lengths() -> None:
    generator = random.Random(0)
    for items in (1, 2, 3, 40):
        tensors = drawn(*(generator.choice([0, 7, 65, 200, 4500]) for _ in range(items)))
        assert digests(tensors) == expected(tensors)


@pytest.mark.usefixtures("quick")
def test_tensors_that_do_not_lie_as_the_kernel_reads() -> None:
    (base,) = drawn(300)
    tensors = [
        *(base[at : at + 200] for at in range(18)),
        base[::2],
        base[:0],
        base.view(30, 10).t(),
        torch.randn(9, 7)[:, 2:5],
        torch.randn(3, 4).bfloat16().expand(5, 3, 4),
        torch.randn(5) > 0,
        torch.randn(40, dtype=torch.complex64).conj(),
        torch.randn(40, dtype=torch.complex64).conj().imag,
        torch.tensor(1.5, dtype=torch.float64),
        torch.randn(4, 1, 3).as_strided((4, 1, 3), (3, 99, 1)),
    ]
    assert digests(tensors) == expected(tensors)


def test_an_empty_batch() -> None:
    assert digests([]) == []


@pytest.mark.usefixtures("quick")
def test_tensors_are_left_as_they_are() -> None:
    tensors = drawn(4500, 17)
    before = [tensor.clone() for tensor in tensors]
    digests(tensors)
    assert all(map(torch.equal, tensors, before))


@pytest.mark.usefixtures("quick")
def test_workspaces_are_used_again_and_left_clean() -> None:
    idle.clear()
    tensors = drawn(5000, 30)
    for _ in range(2):
        assert digests(tensors) == expected(tensors)
        (workspace,) = idle[CPU]
        assert not workspace.counters.any()
    first = workspace
    many = drawn(*[1] * 65)
    assert digests(many) == expected(many)
    assert idle[CPU] != [first]


def test_a_large_workspace_is_not_kept(quick: pytest.MonkeyPatch) -> None:
    idle.clear()
    quick.setattr(blake3_triton, "KEPT", 50)
    small, large = drawn(100, 30 * CHUNK)
    digests([small])
    assert len(idle[CPU]) == 1
    idle.clear()
    assert digests([large]) == expected([large])
    assert idle[CPU] == []


@pytest.mark.parametrize("fan", [2, 4, 256])
def test_room_for_all_levels(monkeypatch: pytest.MonkeyPatch, fan: int) -> None:
    use(monkeypatch, 1, fan)
    generator = random.Random(fan)
    for chunks in [*range(1, 600), *(generator.randrange(1 << generator.randrange(10, 33)) + 1 for _ in range(400))]:
        nodes = level = chunks
        while level > 1:
            level = -(-level // fan)
            nodes += level
        assert table_of([torch.empty(chunks * CHUNK, dtype=torch.uint8, device="meta")])[2] >= nodes


def test_identities_with_the_hashes_of_one_launch(quick: pytest.MonkeyPatch) -> None:
    """Tensors of the host stand for those of a device."""
    rig, tiles = rig_of(resolve("optimized").implementation), TowerRecipe(image="tiles")
    recipes = [
        image(seed, 1 + seed, strides=strides) for seed, strides in enumerate(("columns", "gaps", "offset", "odd"))
    ]
    recipes += [image(9, given=GivenRecipe("t", "k", trusted)) for trusted in (True, False)]
    items = [item_of(recipe) for recipe in recipes]
    items.append(item_of(ItemRecipe(grid=None, parts=(0, 3, 1)), tiles))
    broken = dataclasses.replace(items[0], grid_thw=None, payload=None)
    items.insert(2, broken)
    plain = rig.identify(items)
    batches: list[int] = []

    def counted(tensors: Sequence[torch.Tensor]) -> list[bytes]:
        batches.append(len(tensors))
        return digests(tensors)

    def parts(item: Item) -> list[torch.Tensor]:
        payload = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        return [part for part in payload if isinstance(part, torch.Tensor)]

    quick.setattr(identify, "on_cuda", parts)
    quick.setattr(blake3_triton, "digests", counted)
    found = rig.identify(items)
    assert [str(one) for one in found] == [str(one) for one in plain]
    assert isinstance(found[2], PlumblineError)
    assert batches == [9]
