"""The judges check each other: closed form against exact tower, both against vectors computed by hand, keys by hand."""

from __future__ import annotations

import blake3
import pytest
import torch

from plumbline import closed_form
from plumbline.build import bits_of, payload_of, tensor_of_bits
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import Modality, Packed, PackedItem
from plumbline.parts import digest_of, image, item_of, prepared_of, rig_of
from plumbline.resolve import resolve
from plumbline.scenario import Content, ExtraRecipe, ItemRecipe, RequestRecipe, TowerRecipe, mix
from tests.identity.format_1 import digest, ints

M = (1 << 64) - 1


def splitmix(z: int) -> int:
    """Written out again from the published constants, so that the harness's own copy is checked."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M
    return z ^ (z >> 31)


def by_hand(
    name: str, dtype: str, patch_shape: list[int], grid: list[int], patches: list[list[int]], level: int
) -> list[int]:
    """Lanes of the only row of an item of one segment, whose patches merge into one row."""

    def code(text: str) -> int:
        c = len(text)
        for byte in text.encode():
            c = splitmix((c * 257 + byte + 1) & M)
        return c

    numbers = [code(name), code(dtype), len(patch_shape), *patch_shape, *grid, 0, 0, level]
    head = 0
    for number in numbers:
        head = splitmix(((head ^ number) + 0x632BE59BD9B4E019) & M)
    sums = [sum((b + 1) * (splitmix(j + 1) | 1) for j, b in enumerate(p)) & M for p in patches]
    own = sum(s * (splitmix(q + 9) | 1) for q, s in enumerate(sums)) & M
    segment = sum(s * (splitmix(q + 77) | 1) for q, s in enumerate(sums)) & M
    word = splitmix(head ^ splitmix(own) ^ splitmix((segment + 7) & M))
    return list(word.to_bytes(8, "little"))


@pytest.mark.parametrize("level", [0, 1])
def test_a_merged_image_by_hand(level: int) -> None:
    tower = TowerRecipe(merge=2, side_levels=1)
    values = torch.tensor([[1.0, 2.0, -0.0], [0.5, float("inf"), 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, float("nan")]])
    patches = [[v & 0xFFFFFFFF for v in row] for row in values.view(torch.int32).tolist()]
    wanted = by_hand("image", "float32", [3], [1, 1, 2, 2], patches, level)
    packed = Packed(values, torch.tensor([0, 4]), (PackedItem(Modality.IMAGE, (1, 2, 2), (4,), {}),))
    encoded = ExactTower(tower, exact_spec(tower))(packed)
    assert [encoded.rows, *encoded.side][level].tolist() == [[float(v) for v in wanted]]


def test_a_tile_by_hand() -> None:
    tower = TowerRecipe(image="tiles", patch_shape=(2, 2), row_dtype="bfloat16")
    item = ItemRecipe(grid=None, parts=(1,), dtype="int16", content=Content(9))
    payload = closed_form.bits(tower, item)
    wanted = by_hand("image", "int16", [2, 2], [0], [list(payload[0])], 0)
    got = tensor_of_bits(closed_form.rows(tower, item, 0)[0], 8, "bfloat16")
    assert got.tolist() == [[float(v) for v in wanted]]


TOWERS = [
    TowerRecipe(),
    TowerRecipe(merge=2, side_levels=2, hidden=16, row_dtype="bfloat16"),
    TowerRecipe(image="tiles", rows_per_tile=3),
    TowerRecipe(merge=2, pools_frames=True),
]
ITEMS = [
    ItemRecipe(grid=(1, 2, 4), parts=(8,), content=Content(1)),
    ItemRecipe(modality="video", grid=(3, 2, 2), parts=(12,), dtype="bfloat16", content=Content(2, "swap", 3)),
    ItemRecipe(modality="audio", grid=None, parts=(2, 1), dtype="uint8", content=Content(3)),
    ItemRecipe(
        grid=(1, 2, 2),
        parts=(4,),
        dtype="float64",
        extras=(ExtraRecipe("a", 0.5), ExtraRecipe("b", (1, 2)), ExtraRecipe("c", "é")),
    ),
]


@pytest.mark.parametrize("tower", TOWERS, ids=["plain", "merged", "tiles", "pooled"])
@pytest.mark.parametrize("epoch", [0, 2])
def test_closed_form_and_exact_tower_agree_on_many_items_in_one_call(tower: TowerRecipe, epoch: int) -> None:
    exact = ExactTower(tower, exact_spec(tower), epoch)
    for item in ITEMS:
        if bool(item.grid) != closed_form.has_grid(tower, item.modality):
            continue
        payload = torch.cat(payload_of(tower, item))
        frames = [item.grid[1] * item.grid[2]] * item.grid[0] if item.grid else list(item.parts)
        lengths = [sum(frames)] if tower.pools_frames and item.grid else frames
        bounds = torch.tensor([0, *torch.tensor(lengths * 2).cumsum(0).tolist()])
        extras = {n: e.value for n, e in item_of(item, tower).extras.items()}
        described = PackedItem(Modality(item.modality), item.grid, item.parts, extras)
        encoded = exact(Packed(torch.cat([payload, payload]), bounds, (described, described)))
        for level, got in enumerate((encoded.rows, *encoded.side)):
            rows = closed_form.rows(tower, item, epoch)[level]
            wanted = bits_of(tensor_of_bits(rows + rows, tower.hidden, tower.row_dtype))
            assert torch.equal(bits_of(got), wanted)


def test_two_pooled_frames_by_hand() -> None:
    """One patch of each frame, both in the one row."""
    tower = TowerRecipe(pools_frames=True)
    values = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.int32)
    wanted = by_hand("video", "int32", [3], [1, 2, 1, 1], values.tolist(), 0)
    packed = Packed(values, torch.tensor([0, 2]), (PackedItem(Modality.VIDEO, (2, 1, 1), (2,), {}),))
    assert ExactTower(tower, exact_spec(tower))(packed).rows.tolist() == [[float(v) for v in wanted]]


def test_a_wrong_partition_shows_in_every_row() -> None:
    tower = TowerRecipe()
    exact = ExactTower(tower, exact_spec(tower))
    patches = torch.cat(payload_of(tower, ITEMS[0]))
    item = (PackedItem(Modality.IMAGE, (1, 2, 4), (8,), {}),)
    right = exact(Packed(patches, torch.tensor([0, 8]), item)).rows
    wrong = exact(Packed(patches, torch.tensor([0, 3, 8]), item)).rows
    assert (right != wrong).any(1).all()


def test_the_exact_tower_refuses_a_call_that_contradicts_itself() -> None:
    tower = TowerRecipe()
    exact = ExactTower(tower, exact_spec(tower))
    item = (PackedItem(Modality.IMAGE, (1, 1, 2), (2,), {}),)
    for bounds in ([0, 3], [1, 2], [0, 2, 1, 2]):
        with pytest.raises(ValueError, match="partition"):
            exact(Packed(torch.zeros(2, 3), torch.tensor(bounds), item))


def test_lanes_fit_bfloat16_and_mix_is_splitmix() -> None:
    assert torch.arange(256).to(torch.bfloat16).to(torch.int64).tolist() == list(range(256))
    for z in (0, 1, M, 0x0123456789ABCDEF):
        assert mix(z) == splitmix(z)


def test_format_1_by_hand() -> None:
    """The digest and the keys of one image, framed byte by byte."""
    recipe = image(5, 4, extras=(ExtraRecipe("fps", 2),))
    payload = payload_of(TowerRecipe(), recipe)[0]
    fields = [b"features", b"image", ints(1, 1, 4), ints(1), b"float32", ints(4, 3)]
    fields += [blake3.blake3(payload.numpy().tobytes()).digest(), ints(1), b"fps", b"int", b"2", b""]
    wanted = digest(*fields)
    stream = blake3.blake3(b"plumbline/prefix/1" + wanted).digest(length=32)
    keys = [int.from_bytes(stream[k : k + 8], "little", signed=True) for k in range(0, 32, 8)]
    keys = [k - 2**63 if 0 <= k < 2**31 else k for k in keys]
    for name in ("reference", "optimized"):
        rig = rig_of(resolve(name).implementation)
        assert digest_of(rig, recipe) == wanted
        assert prepared_of(rig, RequestRecipe(items=(recipe,), gaps=(1, 0))).prefix_keys.tolist()[1:] == keys
