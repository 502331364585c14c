"""One step of 32 images of 1,024 patches on 1, 2 and 4 GPUs: Qwen3-VL's tower, 27 layers, bfloat16, weights from a formula.

    python -m benchmarks.device_ranks --out FILE          # on as many GPUs as there are, up to four

Payloads lie on every rank's device beforehand, and no rows are cached. A step is timed on each rank from its call until its
rows have come and it is settled; the slowest rank counts. Rows are compared with those of one rank before they are timed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from plumbline.build import bits_of
from plumbline.certify import ROW_COUNTS
from plumbline.interface import Payload, Rows
from plumbline.rank_processes import Party, PartySetting, PatchedImage, TowerRank
from plumbline.real_sizes import SIZES
from plumbline.results import commit, environment
from plumbline.small_tower import checkpoint

PICTURES = [PatchedImage(seed, 32, 32) for seed in range(32)]
RANKS = (1, 2, 4)
WARM, ROUNDS = 3, 15


class TimedRank(TowerRank):
    """A rank whose payloads are on its device."""

    def payload(self, payload: Payload) -> Payload:
        assert isinstance(payload, Tensor)
        return payload.to(self.device)

    def begin(self, pictures: list[PatchedImage]) -> None:
        self.requests = self.admit(pictures)

    def digest(self) -> str:
        """Of all rows of a step."""
        found = hashlib.sha256()
        for result in self.step(self.requests):
            assert isinstance(result, Rows), result
            for level in (result.rows, *result.side):
                found.update(bits_of(level.cpu()).contiguous().numpy().tobytes())
        return found.hexdigest()

    def timed(self) -> float:
        """Milliseconds of one step."""
        began = time.perf_counter()
        self.step(self.requests)
        return 1e3 * (time.perf_counter() - began)


def measured(setting: PartySetting, floor: int | None) -> dict[str, Any]:
    """One row of the result. floor: the row floor, None to find it."""
    with Party(TimedRank, setting) as party:
        found = floor or party.all(TimedRank.certify, ROW_COUNTS)[0]
        party.all(TimedRank.use_floor, found)
        party.all(TimedRank.begin, PICTURES)
        digests = set(party.all(TimedRank.digest))
        rounds = [max(party.all(TimedRank.timed)) for _ in range(WARM + ROUNDS)][WARM:]
    times = {"ms": round(statistics.median(rounds), 2), "least": round(min(rounds), 2), "most": round(max(rounds), 2)}
    return {"ranks": len(setting.devices), **times, "row_floor": found, "rows": sorted(digests)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/device-ranks.json"))
    options = parser.parse_args()
    say = Console(highlight=False, markup=False, width=160, soft_wrap=True).print
    os.environ["NCCL_NVLS_ENABLE"] = "0"  # multicast needs rights that a container may not have
    result: dict[str, Any] = {"commit": commit(), "environment": environment(), "steps": []}
    with tempfile.TemporaryDirectory() as place:
        began = time.time()
        with torch.device("cuda"):
            folder = checkpoint(Path(place) / "tower", **SIZES["qwen3_vl"])
        say(f"weights written after {time.time() - began:.0f} s")
        floor = None
        for count in (count for count in RANKS if count <= torch.cuda.device_count()):
            devices = tuple(f"cuda:{k}" for k in range(count))
            setting = PartySetting(devices, folder, Path(place) / f"meeting-{count}", dtype=torch.bfloat16)
            row = measured(setting, floor)
            floor = row["row_floor"]
            result["steps"].append(row)
            first = result["steps"][0]
            same = "the same rows" if row["rows"] == first["rows"] else "OTHER ROWS"
            say(
                f"{count} ranks: {row['ms']} ms ({row['least']} to {row['most']}), {first['ms'] / row['ms']:.2f} times, {same}"
            )
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(result) + "\n")
    say(f"{options.out} written")


if __name__ == "__main__":
    main()
