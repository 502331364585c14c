"""BLAKE3 of payloads on a GPU: wall clock of whole calls, beside what else one could do with the same bytes, in turns.

    python -m benchmarks.device_hash --out FILE           # needs a GPU; with SGLang's hash where the environment has
                                                          # PLUMBLINE_SGLANG_0_5_23

Every run ends when the host has the result. ``digests`` is the hash alone, ``identify`` gives whole identities, one item to
a payload; ``verify`` is verification on arrival of one request whose payload lies on the reader's device. Beside them: one
copy of all the bytes on the device and one to pinned memory of the host, each until it is synchronised; blake3 of bytes
that lie on the host already; and SGLang's hash of 64 bits, which is no cryptographic one, of one payload after the other.
Digests and identities are compared with the host's before anything is timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from rich.console import Console
from torch import Tensor

from optimized.blake3_triton import digests
from optimized.identify import THREADS_PAY_FROM, Identifier
from optimized.transport.verify import verify
from plumbline.exact import exact_spec
from plumbline.interface import Budgets, Identity, Item, Modality, Prepared, Runtime, Source
from plumbline.results import commit, environment
from plumbline.rig import RecordingPort
from plumbline.scenario import TowerRecipe
from plumbline.timing import Contestant, in_turns

MIB = 1 << 20
SGLANG = "PLUMBLINE_SGLANG_0_5_23"
SPACING = 512
"""Payloads begin at multiples of it, as those do that torch allocates."""
REQUEST = "36 MiB"
CASES = {
    "0.1 MiB": [MIB // 10],
    "1.5 MiB": [3 * MIB // 2],
    "15 MiB": [15 * MIB],
    REQUEST: [36 * MIB],
    "36 MiB + 1": [36 * MIB + 1],
    "36 MiB - 3": [36 * MIB - 3],
    "112 MiB": [112 * MIB],
    "512 MiB": [512 * MIB],
    "64 x 1.5 MiB": [3 * MIB // 2] * 64,
    "256 x 0.1 MiB": [MIB // 10] * 256,
    "100 of all lengths": [int(2 ** random.Random(k).uniform(0, 22)) for k in range(100)],
}
"""Bytes of each payload."""

Hash = Callable[[Tensor], object]


def rounds_of(nbytes: int, quick: bool) -> tuple[int, int]:
    """Rounds, and runs at a turn: many where a run is short."""
    if quick:
        return 2, 1
    return (10, 4) if nbytes < 64 * MIB else (10, 2) if nbytes < 256 * MIB else (8, 1)


class Case:
    """One batch, in one piece of memory on the device and in another on the host."""

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        places, total = [], 0
        for size in sizes:
            places.append(slice(total, total + size))
            total += -(-size // SPACING) * SPACING
        self.device = device
        self.whole = torch.empty(total, dtype=torch.uint8, device=device).random_()
        self.copy = torch.empty_like(self.whole)
        self.host = self.whole.cpu().pin_memory()
        self.parts = [self.whole[place] for place in places]
        self.on_host = [self.host[place] for place in places]
        self.items = [item_of(part) for part in self.parts]
        self.identify = Identifier(runtime())

    def check(self) -> None:
        assert digests(self.parts) == self.blake3(threads=8)
        assert self.identify(self.items) == self.identify([item_of(part) for part in self.on_host])

    def copied(self, target: Tensor) -> None:
        target.copy_(self.whole, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()

    def blake3(self, threads: int) -> list[bytes]:
        """threads: for payloads that they pay for."""
        return [
            blake3(part.numpy().data, max_threads=threads if part.nbytes >= THREADS_PAY_FROM else 1).digest()
            for part in self.on_host
        ]

    def one_by_one(self, hashed: Hash) -> None:
        for part in self.parts:
            hashed(part)

    def verified(self) -> Callable[[], object]:
        """Verification of a request with these payloads."""
        identities = tuple(found for found in self.identify(self.items) if isinstance(found, Identity))
        none = torch.empty(0, dtype=torch.int64)
        prepared = Prepared("request", none, tuple(self.items), identities, none)
        check = partial(verify, prepared, self.identify, self.device)
        assert check() == [None] * len(self.items)
        wrong = dataclasses.replace(prepared, identities=(Identity(bytes(32)),) * len(self.items))
        assert None not in verify(wrong, self.identify, self.device)
        return check

    def contestants(self, sglang: Hash | None) -> dict[str, Contestant]:
        runs: dict[str, Callable[[], object]] = {
            "digests": lambda: digests(self.parts),
            "identify": lambda: self.identify(self.items),
            "copy on the device": lambda: self.copied(self.copy),
            "copy to pinned memory": lambda: self.copied(self.host),
            "blake3 on the host, 1 thread": lambda: self.blake3(1),
            "blake3 on the host, up to 8 threads": lambda: self.blake3(8),
        }
        if sglang is not None:
            runs["SGLang 0.5.23"] = lambda: self.one_by_one(sglang)
        return {name: Contestant(run) for name, run in runs.items()}


def item_of(payload: Tensor) -> Item:
    return Item(Modality.IMAGE, Source.PIXELS, payload, (), torch.tensor([[1, 1, len(payload)]]))


def runtime() -> Runtime:
    spec = exact_spec(TowerRecipe())
    return Runtime(spec, RecordingPort(spec), Budgets(0, 0, 0))


def hash_of_sglang(folder: Path) -> Hash:
    """The release's own function, whose file needs nothing else of it."""
    found = importlib.util.spec_from_file_location("_", folder / "sglang/kernels/ops/memory/gpu_tensor_hash.py")
    assert found and found.loader  # noqa: PT018
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    hashed: Hash = module.gpu_tensor_hash
    return hashed


def timed(name: str, device: torch.device, sglang: Hash | None, quick: bool) -> dict[str, Any]:
    case = Case(CASES[name], device)
    case.check()
    contestants = case.contestants(sglang)
    if name == REQUEST:
        contestants["verify"] = Contestant(case.verified())
    rounds, runs = rounds_of(case.whole.nbytes, quick)
    samples = in_turns(contestants, rounds, warmup=1, runs=runs)
    microseconds = {way: [round(1e6 * s, 1) for s in seconds] for way, seconds in samples.items()}
    return {"case": name, "bytes": CASES[name], "runs": runs, "microseconds": microseconds}


def show(say: Callable[[str], object], row: dict[str, Any]) -> None:
    nbytes = sum(row["bytes"])
    say(f"\n{row['case'] + f' ({nbytes:,} bytes)':44s} us median       p10       p90      GB/s")
    for way, samples in row["microseconds"].items():
        deciles = statistics.quantiles(samples, n=10, method="inclusive")
        middle = statistics.median(samples)
        say(f"{way:44s} {middle:9.1f} {deciles[0]:9.1f} {deciles[8]:9.1f} {nbytes / middle / 1e3:9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/device-hash.json"))
    parser.add_argument("--quick", action="store_true", help="few rounds: whether everything runs")
    options = parser.parse_args()
    console = Console(highlight=False, width=140, soft_wrap=True)
    began, device = time.time(), torch.device("cuda", 0)
    sglang = hash_of_sglang(Path(os.environ[SGLANG])) if SGLANG in os.environ else None
    if sglang is None:
        console.print(f"SGLang's hash is left out: {SGLANG} names no folder")
    digests([torch.zeros(1, device=device)])
    compiled = round(time.time() - began, 1)
    console.print(f"ready after {compiled} s, most of which compiles the kernel where it is not on disk yet")
    rows = []
    for name in CASES:
        rows.append(timed(name, device, sglang, options.quick))
        show(console.print, rows[-1])
        torch.cuda.empty_cache()
    result = {
        "commit": commit(),
        "environment": environment(),
        "ready": compiled,
        "took": round(time.time() - began, 1),
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result) + "\n")
    console.print(f"\n{options.out} written after {result['took']} s")


if __name__ == "__main__":
    main()
