"""Vision towers on a GPU, real sizes and made-up weights: wall clock from the call until the device is done, in turns.

    python -m benchmarks.device_encoder --out FILE                    # needs a GPU; --family for one tower; --quick

Each case is a set of images. ``tower`` is one call of the fast tower with the patches on the device, ``no floor`` the same
without the row floor that makes it invariant, ``encode`` the whole driver (packing, tower, splitting), from the device and
from pageable memory of the host. Beside them: our tower image by image, which replays a graph for each, and transformers'
in one call. ``floor`` is what the case would take if every part ran at its measured ceiling
(``device_encoder_floor.py``). Before anything is timed, rows in company are held against the image alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from adapters import transformers as theirs
from benchmarks.device_encoder_floor import floor
from optimized import implementation
from plumbline.certify import certify, join, same_bits
from plumbline.cuda.port import CudaPort
from plumbline.interface import (
    Budgets,
    Checkpoint,
    Encoded,
    Encoder,
    Item,
    LoadedTower,
    Modality,
    Packed,
    PackedItem,
    Runtime,
    Source,
    Tower,
)
from plumbline.real_sizes import SIZES, Grid, Work
from plumbline.results import commit, environment
from plumbline.small_tower import checkpoint
from plumbline.timing import Contestant, in_turns, ratio

CASES: dict[str, list[Grid]] = {
    "1 x 256": [(1, 16, 16)],
    "32 x 64": [(1, 8, 8)] * 32,
    "32 x 256": [(1, 16, 16)] * 32,
    "32 x 1,024": [(1, 32, 32)] * 32,
    "64 to 16,384": [
        *[(1, 8, 8)] * 16,
        *[(1, 16, 16)] * 8,
        *[(1, 18, 30)] * 8,
        *[(1, 32, 32)] * 6,
        *[(1, 44, 78)] * 3,
        *[(1, 64, 64)] * 2,
        (1, 128, 128),
    ],
}
ALONE = frozenset({"32 x 64", "32 x 256", "32 x 1,024"})
"""Cases that are also run image by image."""
VOCABULARY = 151_936


@dataclass(frozen=True, eq=False)
class Family:
    """One tower of each maker, of the same weights, on the device."""

    name: str
    ours: LoadedTower
    theirs: Tower
    encoder: Encoder


def load(name: str, folder: Path, port: CudaPort) -> Family:
    with port.device:
        checkpoint(folder, family=name, **SIZES[name])
    made = Checkpoint(folder, torch.bfloat16, VOCABULARY - 1, VOCABULARY - 2, VOCABULARY)
    assert implementation.tower and implementation.encoder  # noqa: PT018
    ours = implementation.tower(made, port)
    budgets = Budgets(0, 1 << 17, 1 << 17)
    return Family(
        name,
        ours,
        theirs.load(
            folder,
            image_token_id=made.image_token_id,
            video_token_id=made.video_token_id,
            vocab_size=made.vocab_size,
            dtype=made.dtype,
            device=port.device,
        ),
        implementation.encoder(Runtime(ours.spec, port, budgets), ours),
    )


def item(tower: Tower, grid: Grid, number: int, device: torch.device) -> Item:
    draw = torch.Generator(device).manual_seed(number)
    layout = tower.spec.layouts[Modality.IMAGE]
    count = grid[0] * grid[1] * grid[2]
    patches = torch.randn((count, *layout.patch_shape), generator=draw, device=device).to(torch.bfloat16)
    return Item(Modality.IMAGE, Source.PIXELS, patches, ((0, count // layout.merge**2),), torch.tensor([grid]))


def packed(one: Item) -> Packed:
    assert isinstance(one.payload, torch.Tensor)
    assert one.grid_thw is not None
    frames, height, width = one.grid_thw[0].tolist()
    described = PackedItem(one.modality, (frames, height, width), (len(one.payload),), {})
    return Packed(one.payload, torch.tensor([0, len(one.payload)]), (described,))


def check(family: Family, alone: Sequence[Packed], items: Sequence[Item]) -> None:
    """Bits in company are those alone."""
    for call, found in zip(alone, family.encoder.encode(items), strict=True):
        assert isinstance(found, Encoded), found
        wanted = family.ours(call)
        pairs = zip((wanted.rows, *wanted.side), (found.rows, *found.side), strict=True)
        assert all(same_bits(a, b) for a, b in pairs), call.items


def contestants(family: Family, case: str, device: torch.device) -> dict[str, Contestant]:
    items = [item(family.ours, grid, number, device) for number, grid in enumerate(CASES[case])]
    from_host = [Item(one.modality, one.source, one.payload.cpu(), one.spans, one.grid_thw) for one in items]  # type: ignore[union-attr]
    alone = [packed(one) for one in items]
    together = join(alone)
    check(family, alone, items)
    floors = {"floor": family.ours.row_floor, "no floor": 1}

    def set_floor(which: str) -> None:
        family.ours.row_floor = floors[which]

    def then_wait(run: Callable[[], object]) -> None:
        run()
        torch.cuda.synchronize()

    def contestant(run: Callable[[], object], which: str = "floor") -> Contestant:
        return Contestant(partial(then_wait, run), partial(set_floor, which))

    found = {
        "tower": contestant(lambda: family.ours(together)),
        "tower, no floor": contestant(lambda: family.ours(together), "no floor"),
        "encode": contestant(lambda: family.encoder.encode(items)),
        "encode from the host": contestant(lambda: family.encoder.encode(from_host)),
        "transformers": contestant(lambda: family.theirs(together)),
    }
    if case in ALONE:
        found["image by image"] = contestant(lambda: [family.ours(call) for call in alone])
    return found


def timed(family: Family, case: str, device: torch.device, quick: bool) -> dict[str, Any]:
    runs = contestants(family, case, device)
    samples = in_turns(runs, rounds=2 if quick else 6, warmup=1)
    for contestant in runs.values():
        contestant.ready()
    row: dict[str, Any] = {"family": family.name, "case": case, "images": CASES[case]}
    row["milliseconds"] = {way: [round(1e3 * s, 4) for s in seconds] for way, seconds in samples.items()}
    row["price of invariance"] = ratio(samples["tower"], samples["tower, no floor"])
    row["floor"] = floor(Work(family.name), CASES[case], device)
    return row


def show(say: Callable[[str], object], row: dict[str, Any]) -> None:
    bound = sum(row["floor"].values())
    say(f"\n{row['family'] + ', ' + row['case']:44s} ms median       p10       p90   of floor {bound:.2f}")
    for way, samples in row["milliseconds"].items():
        deciles = statistics.quantiles(samples, n=10, method="inclusive")
        middle = statistics.median(samples)
        say(f"{way:44s} {middle:9.3f} {deciles[0]:9.3f} {deciles[8]:9.3f} {middle / bound:9.2f}")
    middle, low, high = row["price of invariance"]
    say(f"{'price of invariance':44s} {middle:9.4f} {low:9.4f} {high:9.4f}")
    say("floor: " + ", ".join(f"{part} {milliseconds:.2f}" for part, milliseconds in row["floor"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/device-encoder.json"))
    parser.add_argument("--family", choices=SIZES, action="append", help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few rounds: whether everything runs")
    options = parser.parse_args()
    console = Console(highlight=False, width=140, soft_wrap=True)
    began, port = time.time(), CudaPort(0)
    result: dict[str, Any] = {"commit": commit(), "environment": environment(), "certificates": {}, "rows": []}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name in options.family or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            family = load(name, Path(folder), port)
        certificate = certify(family.ours)
        certificate.check(family.ours)
        result["certificates"][name] = json.loads(certificate.to_json())
        console.print(f"\n{name}: row floor {certificate.row_floor}, certified after {time.time() - began:.0f} s")
        for case in CASES:
            result["rows"].append(timed(family, case, port.device, options.quick))
            show(console.print, result["rows"][-1])
            options.out.write_text(json.dumps(result) + "\n")
        del family
        torch.cuda.empty_cache()
    console.print(f"\n{options.out} written after {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
