"""Identity and prefix keys, beyond what generated workloads see: width, large payloads, other processes, caller keys."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import sys

import pytest
import torch
from blake3 import blake3

from plumbline.interface import CallerKey, Capability, Extra, Identity, Item, Modality, PlumblineError, Source, Trust
from plumbline.parts import claimed, digest_of, identity_of, image, item_of, prepared_of, rig_of
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.scenario import ExtraRecipe, GivenRecipe, RequestRecipe
from tests.identity.format_1 import digest, ints


def rank_over_two(words: list[int]) -> int:
    """Rank of the words as vectors of bits."""
    basis: dict[int, int] = {}
    for word in words:
        while word:
            top = word.bit_length()
            if top not in basis:
                basis[top] = word
                break
            word ^= basis[top]
    return len(basis)


@pytest.mark.requirement("IDENT-001")
def test_a_digest_carries_at_least_128_independent_bits(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    digests = [digest_of(rig, image(seed)) for seed in range(200)]
    assert {len(d) for d in digests} == {len(digests[0])}
    assert len(digests[0]) >= 16
    first = int.from_bytes(digests[0], "big")
    assert rank_over_two([int.from_bytes(d, "big") ^ first for d in digests[1:]]) >= 124


@pytest.mark.requirement("PREFIX-005")
@pytest.mark.parametrize("pieces", [1, 2])
def test_two_neighbouring_keys_carry_124_independent_bits(subject: Subject, pieces: int) -> None:
    if pieces > 1:
        claimed(subject, Capability.SEVERAL_SPANS)
    rig = rig_of(subject.implementation)
    pairs: list[list[int]] = [[], []]
    for seed in range(200):
        keys = prepared_of(rig, RequestRecipe(items=(image(seed, 4, pieces=pieces),), gaps=(1,))).prefix_keys
        values = [k & (1 << 64) - 1 for k in keys[(keys < 0) | (keys >= 2**31)].tolist()]
        assert len(values) >= 4, f"{len(values)} of 4 placeholders have a key that no text can have"
        for at in range(2):
            pairs[at].append(values[2 * at] << 64 | values[2 * at + 1])
    for words in pairs:
        assert rank_over_two([w ^ words[0] for w in words[1:]]) >= 124


LONG = 5 * 2**20 // 12
"""Patches of some mebibytes."""


def large(values: torch.Tensor) -> Item:
    """An image with a payload of many hash blocks; identity needs no valid spans."""
    return Item(Modality.IMAGE, Source.PIXELS, values, (), torch.tensor([[1, 1, len(values)]]))


@pytest.mark.requirement("IDENT-003")
@pytest.mark.parametrize("patches", [1, 700, 3001])
def test_structured_changes_of_large_payloads_change_the_digest(subject: Subject, patches: int) -> None:
    """Flips everywhere, moved and repeated blocks of all usual sizes, equal sums and xors: what weak mixes miss."""
    rig = rig_of(subject.implementation)
    base = (torch.arange(patches * 12, dtype=torch.int64) * 2654435761 % 251).to(torch.uint8)
    variants = {"base": base}
    for at in {0, 1, len(base) // 3, len(base) // 2, len(base) - 2, len(base) - 1}:
        variants[f"flip {at}"] = base.clone()
        variants[f"flip {at}"][at] ^= 1
    for block in (4, 64, 1024, 4096, 8192):
        if len(base) >= 2 * block:
            variants[f"swap {block}"] = torch.cat([base[block : 2 * block], base[:block], base[2 * block :]])
            variants[f"repeat {block}"] = torch.cat([base[:block], base[:block], base[2 * block :]])
            sums = base.clone()
            sums[3], sums[3 + block] = sums[3] + 1, sums[3 + block] - 1
            variants[f"sum {block}"] = sums
            xors = base.clone()
            xors[5] ^= 0x21
            xors[5 + block] ^= 0x21
            variants[f"xor {block}"] = xors
    variants["reversed"] = base.flip(0)
    if patches > 1:
        variants["halves"] = torch.cat([base[len(base) // 2 :], base[: len(base) // 2]])
    distinct: dict[bytes, list[str]] = {}
    for name, values in variants.items():
        distinct.setdefault(values.numpy().tobytes(), []).append(name)
    payloads = {names[0]: torch.frombuffer(bytearray(raw), dtype=torch.uint8) for raw, names in distinct.items()}
    digests: dict[bytes, str] = {}
    for name, values in payloads.items():
        digest = identity_of(rig, large(values.view(torch.float32).reshape(-1, 3))).digest
        assert digest not in digests, f"{name} and {digests[digest]} have one digest"
        digests[digest] = name


@pytest.mark.requirement("IDENT-002")
def test_a_large_strided_payload_has_the_digest_of_its_contiguous_copy(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    values = torch.arange(900 * 6, dtype=torch.float32).reshape(900, 6)
    plain = identity_of(rig, large(values[:, :3].contiguous())).digest
    assert identity_of(rig, large(values[:, :3])).digest == plain
    assert identity_of(rig, large(values[:, :3].contiguous().t().contiguous().t())).digest == plain


@pytest.mark.requirement("IDENT-012")
@pytest.mark.parametrize("strides", ["contiguous", "columns", "gaps"])
def test_identifying_changes_no_item(subject: Subject, strides: str) -> None:
    claimed(subject, Capability.EXTRAS)
    item = item_of(image(1, strides=strides, extras=(ExtraRecipe("crop", (1, 2)),)))
    payload = item.payload
    assert isinstance(payload, torch.Tensor)
    before = payload.clone(), payload.stride(), payload.data_ptr(), payload.dtype, dict(item.extras)
    identity_of(rig_of(subject.implementation), item)
    assert item.payload is payload
    assert torch.equal(payload.view(torch.int32), before[0].view(torch.int32))
    assert (payload.stride(), payload.data_ptr(), payload.dtype, dict(item.extras)) == before[1:]


CHILD = """
import sys
sys.path.insert(0, "tests/identity")
from test_identity import printed
from plumbline.resolve import resolve
print(printed(resolve(sys.argv[1], sys.argv[2:])))
"""


def printed(subject: Subject) -> str:
    """Digests and keys of a request with everything that a process could see differently."""
    extras = (ExtraRecipe("fps", "x"), ExtraRecipe("crop", (1, 2)), ExtraRecipe("zoom", 0.5))
    claims = subject.implementation.capabilities
    items = [image(1)]
    items += [image(2, extras=extras)] if Capability.EXTRAS in claims else []
    items += [image(3, given=GivenRecipe("t", "k", True))] if Capability.CALLER_KEYS in claims else []
    items += [image(4, modality="video")] if Capability.VIDEO in claims else []
    p = prepared_of(rig_of(subject.implementation), RequestRecipe(items=tuple(items), bundle=True))
    order = [(i.modality.value, i.spans) for i in p.items]
    long = identity_of(rig_of(subject.implementation), large(torch.arange(3.0 * LONG).view(-1, 3))).digest
    return f"{[i.digest.hex() for i in p.identities]} {p.prefix_keys.tolist()} {order} {long.hex()}"


@pytest.mark.requirement("IDENT-007")
@pytest.mark.requirement("RANK-001")
@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1"])
def test_digests_and_keys_are_equal_in_a_process_with_another_hash_seed(subject: Subject, seed: str) -> None:
    """And with one core, where this one may have more."""
    core = {min(os.sched_getaffinity(0))}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, subject.spec, *subject.replaced],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: os.sched_setaffinity(0, core),  # nothing that a lock could be held of
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == printed(subject)


@pytest.mark.requirement("IDENT-013")
@pytest.mark.parametrize("patches", [1, 85, 86, 2**17, LONG, 2**20])
def test_payloads_of_any_size_have_the_digests_of_format_1(subject: Subject, patches: int) -> None:
    """Of 12 bytes to 12 MiB, about a chunk of BLAKE3, and about whole mebibytes."""
    claimed(subject, Capability.DIGEST_V1)
    values = torch.arange(3 * patches, dtype=torch.int32).mul_(-0x61C88647).view(torch.float32).view(-1, 3)
    content = blake3(values.numpy().tobytes()).digest()
    shape = [ints(1, 1, patches), ints(1), b"float32", ints(patches, 3)]
    wanted = digest(b"features", b"image", *shape, content, ints(0), b"")
    found = identity_of(rig_of(subject.implementation), large(values)).digest
    assert found == wanted, f"{values.nbytes} bytes"


def keyed(rig_digest: object, seed: int, tenant: str, key: str, trust: Trust, patches: int = 4) -> Item:
    item = item_of(image(seed, patches))
    return Item(
        item.modality, item.source, item.payload, item.spans, item.grid_thw, {}, (CallerKey(tenant, key, trust),)
    )


@pytest.mark.requirement("IDENT-008")
def test_a_trusted_key_stands_for_the_values_and_for_nothing_else(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    a, b = (identity_of(rig, keyed(rig, seed, "t", "k", Trust.TRUSTED)).digest for seed in (1, 2))
    assert a == b
    assert identity_of(rig, keyed(rig, 1, "t", "k", Trust.TRUSTED, patches=5)).digest != a


@pytest.mark.requirement("IDENT-008")
@pytest.mark.parametrize("trust", list(Trust), ids=lambda t: t.value)
def test_tenant_and_key_count_in_full(subject: Subject, trust: Trust) -> None:
    """Padded hex on either side, case, empty strings, and characters moved from one to the other."""
    rig = rig_of(subject.implementation)
    hexes = [
        "ab" + "0" * 62,
        "cd" + "0" * 62,
        "0" * 62 + "ab",
        "0" * 62 + "cd",
        "ab",
        "AB",
        "ab" * 32,
        "ab" * 31 + "ac",
    ]
    names = [("t", h) for h in hexes] + [
        ("t", ""),
        ("", "t"),
        ("ta", "b"),
        ("t", "ab "),
        ("", ""),
        ("t\0a", "b"),
        ("t", "\0ab"),
    ]
    digests = {identity_of(rig, keyed(rig, 1, t, k, trust)).digest: (t, k) for t, k in names}
    assert len(digests) == len(names)


@pytest.mark.requirement("IDENT-010")
def test_keyed_and_unkeyed_items_share_no_digest(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    plain = identity_of(rig, item_of(image(1))).digest
    keys = [plain.hex(), plain.hex()[:32], "", "content"]
    keyed_digests = {identity_of(rig, keyed(rig, 1, "", k, t)).digest for k in keys for t in Trust}
    assert plain not in keyed_digests


@pytest.mark.requirement("IDENT-009")
def test_a_verified_key_does_not_hide_another_content(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    a, b = (digest_of(rig, image(seed, given=GivenRecipe("t", "k", False))) for seed in (1, 2))
    assert a != b


@pytest.mark.requirement("IDENT-005")
def test_extras_that_do_not_affect_rows_do_not_count(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    plain = digest_of(rig, image(1))
    for value in (1, 2, "name", (1, 2)):
        assert digest_of(rig, image(1, extras=(ExtraRecipe("note", value, False),))) == plain


@pytest.mark.requirement("IDENT-004")
def test_row_affecting_extras_count_with_name_type_and_value(subject: Subject) -> None:
    claimed(subject, Capability.EXTRAS)
    rig = rig_of(subject.implementation)
    sets: list[tuple[ExtraRecipe, ...]] = [()]
    sets += [(ExtraRecipe("fps", v),) for v in (1, 2, 1.0, "1", (1,), (1, 2), "", 0, -1, 1.5, 2**40)]
    sets += [
        (ExtraRecipe("fp", "s1"),),
        (ExtraRecipe("f", 1), ExtraRecipe("ps", 1)),
        (ExtraRecipe("a", 1), ExtraRecipe("b", 2)),
    ]
    sets += [(ExtraRecipe("a", 2), ExtraRecipe("b", 1)), (ExtraRecipe("crop", (1, 2)),), (ExtraRecipe("crop", (2, 1)),)]
    digests = [digest_of(rig, image(1, extras=s)) for s in sets]
    assert len(set(digests)) == len(sets)


def bare(payload: torch.Tensor | tuple[torch.Tensor, ...], source: Source = Source.PIXELS, **extras: object) -> Item:
    """A clip without grid or spans, around any payload."""
    described = {name: Extra(value, True) for name, value in extras.items()}
    return Item(Modality.AUDIO, source, payload, (), None, described)


@pytest.mark.requirement("IDENT-004")
def test_bytes_that_are_cut_in_another_way_are_another_content(subject: Subject) -> None:
    """Shape, dtype, division into tensors and kind, each over one and the same bytes."""
    claimed(subject, Capability.TILES, Capability.PRECOMPUTED)
    rig = rig_of(subject.implementation)
    base = torch.arange(24, dtype=torch.float32)
    items = [
        bare(base.view(8, 3)),
        bare(base.view(4, 6)),
        bare(base.view(3, 8)),
        bare(base.view(torch.int32).view(8, 3)),
        bare((base[:12].view(4, 3), base[12:].view(4, 3))),
        bare((base[:9].view(3, 3), base[9:].view(5, 3))),
        bare(base.view(3, 8), Source.PRECOMPUTED),
        bare(base.view(8, 3), Source.PRECOMPUTED),
    ]
    assert len({identity_of(rig, item).digest for item in items}) == len(items)


@pytest.mark.requirement("IDENT-003")
def test_equal_parts_in_another_order_are_another_content(subject: Subject) -> None:
    claimed(subject, Capability.TILES)
    rig = rig_of(subject.implementation)
    a, b, c = (torch.arange(12, dtype=torch.float32).view(4, 3) + k for k in range(3))
    orders = [(a, b, c), (a, c, b), (b, a, c), (c, b, a), (a, a, c), (b, b, c)]
    assert len({identity_of(rig, bare(parts)).digest for parts in orders}) == len(orders)


@pytest.mark.requirement("IDENT-003")
@pytest.mark.parametrize("value", [0.0, 1.0, float("nan")])
def test_sign_and_nan_bits_count(subject: Subject, value: float) -> None:
    claimed(subject, Capability.TILES)
    rig = rig_of(subject.implementation)
    plain = torch.full((4, 3), value)
    others = [plain.clone() for _ in range(3)]
    others[0].view(torch.int32)[0, 0] ^= -(2**31)
    others[1].view(torch.int32)[0, 0] ^= 1
    others[2].view(torch.int32)[3, 2] ^= -(2**31)
    assert len({identity_of(rig, bare(p)).digest for p in (plain, *others)}) == 4


@pytest.mark.requirement("IDENT-003")
def test_every_byte_of_megabytes_counts(subject: Subject) -> None:
    """No sampling: a bit in the middle, and near powers of two."""
    claimed(subject, Capability.TILES)
    rig = rig_of(subject.implementation)
    base = torch.zeros(9 * 2**20 // 12 + 1, 3)
    plain = identity_of(rig, bare(base)).digest
    last = base.nbytes - 1
    for at in (2**20 + 7, 3 * 2**20 // 2, 2**21 - 1, last // 2, 2**23 + 2**20, last - 7, last):
        changed = base.clone()
        changed.view(torch.uint8).view(-1)[at] ^= 1
        assert identity_of(rig, bare(changed)).digest != plain, at


@pytest.mark.requirement("IDENT-003")
@pytest.mark.parametrize("by", ["torch", "numpy"])
def test_a_payload_changed_in_place_is_another_content(subject: Subject, by: str) -> None:
    """Also by somebody of whom torch knows nothing, as a processor that writes into shared memory is."""
    rig = rig_of(subject.implementation)
    item = item_of(image(1))
    before = identity_of(rig, item).digest
    assert isinstance(item.payload, torch.Tensor)
    if by == "torch":
        item.payload[0, 0] += 1
    else:
        item.payload.numpy()[0, 0] += 1
    assert identity_of(rig, item).digest != before


@pytest.mark.requirement("IDENT-002")
def test_the_order_in_which_extras_are_given_does_not_count(subject: Subject) -> None:
    claimed(subject, Capability.TILES, Capability.EXTRAS)
    rig = rig_of(subject.implementation)
    a = identity_of(rig, bare(torch.ones(4, 3), fps=2, crop=torch.tensor([1, 2]), zoom=0.5)).digest
    b = identity_of(rig, bare(torch.ones(4, 3), zoom=0.5, crop=torch.tensor([1, 2]), fps=2)).digest
    assert a == b


@pytest.mark.requirement("IDENT-008")
def test_a_trusted_key_is_bound_to_every_piece_of_metadata(subject: Subject) -> None:
    claimed(subject, Capability.TILES, Capability.EXTRAS, Capability.PRECOMPUTED)
    rig = rig_of(subject.implementation)
    key = (CallerKey("t", "k", Trust.TRUSTED),)
    base = torch.ones(24)
    items = [
        bare(base.view(8, 3)),
        bare(base.view(4, 6)),
        bare(base.view(8, 3).to(torch.int32)),
        bare((base[:12].view(4, 3), base[12:].view(4, 3))),
        bare(base.view(8, 3), Source.PRECOMPUTED),
        bare(base.view(8, 3), fps=1),
        dataclasses.replace(bare(base.view(8, 3)), modality=Modality.VIDEO),
        dataclasses.replace(bare(base.view(8, 3)), modality=Modality.IMAGE, grid_thw=torch.tensor([[1, 2, 4]])),
        dataclasses.replace(bare(base.view(8, 3)), modality=Modality.IMAGE, grid_thw=torch.tensor([[1, 4, 2]])),
    ]
    digests = {identity_of(rig, dataclasses.replace(i, given=key)).digest for i in items}
    assert len(digests) == len(items)
    row_tensor = [bare(base.view(8, 3), crop=torch.tensor([k, 2])) for k in (1, 3)]
    assert len({identity_of(rig, dataclasses.replace(i, given=key)).digest for i in row_tensor}) == 2


@pytest.mark.requirement("PREFIX-002")
def test_spans_listed_in_another_order_have_other_keys(subject: Subject) -> None:
    """Same item, same positions, other rows: the first position decides."""
    claimed(subject, Capability.SEVERAL_SPANS)
    rig = rig_of(subject.implementation)
    keys = []
    for order in ("ascending", "reversed"):
        request = RequestRecipe(items=(image(1, 4, pieces=2, span_order=order),), gaps=(1, 0, 0))
        keys.append(prepared_of(rig, request).prefix_keys.tolist())
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]
    assert keys[0][1:3] == keys[1][3:5]


@pytest.mark.requirement("IDENT-007")
def test_a_child_that_was_forked_has_the_same_digests(subject: Subject) -> None:
    """After its parent hashed payloads that are large enough for helpers, none of which a fork takes along."""
    rig = rig_of(subject.implementation)
    large = [Item(Modality.IMAGE, Source.PIXELS, torch.full((30_000, 3), float(k)), ((0, 30_000),)) for k in range(4)]
    large = [dataclasses.replace(item, grid_thw=torch.tensor([[1, 1, 30_000]])) for item in large]

    def digests() -> bytes:
        return b"".join(one.digest for one in rig.identify(large) if isinstance(one, Identity))

    expected, (reading, writing) = digests(), os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, digests())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], 20)
        assert ready, "the child does not answer"
        assert os.read(reading, len(expected)) == expected
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


ODD: dict[str, tuple[Capability | None, dict[str, object]]] = {
    "no payload": (None, {"payload": None}),
    "payload without values": (None, {"payload": torch.ones(4, 3, device="meta")}),
    "two grids": (None, {"grid_thw": torch.tensor([[1, 1, 2], [1, 1, 2]])}),
    "lone surrogate": (Capability.EXTRAS, {"extras": {"fps": Extra("\ud800", True)}}),
    "thousands of digits": (Capability.EXTRAS, {"extras": {"fps": Extra(10**5000, True)}}),
    "any object": (Capability.EXTRAS, {"extras": {"fps": Extra(object(), True)}}),
    "key of a lone surrogate": (Capability.CALLER_KEYS, {"given": (CallerKey("t", "\ud800", Trust.VERIFIED),)}),
}


@pytest.mark.requirement("IDENT-011")
@pytest.mark.parametrize("name", ODD)
def test_an_item_without_an_identity_leaves_nothing_behind(subject: Subject, name: str) -> None:
    """Neither for the item after it nor for the next call, wherever in the item the reason lies. Whether it gets an error or
    the call does is left open: most of these are refused before."""
    needed, change = ODD[name]
    claimed(subject, *[needed] if needed else [])
    good = item_of(image(1))
    bad = dataclasses.replace(good, **change)  # type: ignore[arg-type]
    alone, rig = identity_of(rig_of(subject.implementation), good), rig_of(subject.implementation)
    found: list[Identity | PlumblineError] = [alone] * 3
    with contextlib.suppress(Exception):
        found = rig.identify([bad, good, bad])
    assert found[1] == alone
    assert identity_of(rig, good) == alone


@pytest.mark.requirement("IDENT-002", "IDENT-003")
@pytest.mark.parametrize("kind", ["conjugated", "negated"])
def test_a_lazy_view_in_an_extra_is_identified_by_what_it_shows(subject: Subject, kind: str) -> None:
    """As torch gives what was conjugated, and the imaginary part of it: other values over the same bytes."""
    claimed(subject, Capability.EXTRAS)
    base = torch.complex(torch.arange(1.0, 13.0), torch.arange(2.0, 14.0)).view(4, 3)
    shown = base.conj() if kind == "conjugated" else base.conj().imag
    under = base if kind == "conjugated" else base.imag
    rig, item = rig_of(subject.implementation), item_of(image(1))
    lazy, plain, other = (
        identity_of(rig, dataclasses.replace(item, extras={"map": Extra(value, True)}))
        for value in (shown, shown.resolve_conj().resolve_neg().clone(), under)
    )
    assert lazy == plain
    assert lazy != other
