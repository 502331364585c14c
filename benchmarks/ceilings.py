"""Derives ``ceilings.json``, the ceilings of the roofline model, from raw results in ``history/``.

    python -m benchmarks.ceilings             # writes it
    python -m benchmarks.ceilings --check     # exits with 1 if the file is another

A ceiling is the best that was measured in any run: a floor that follows from it must not be above what somebody reached.
Two numbers, of which no raw result was kept, are said so.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plumbline.roofline.ceilings import FILE, ROOT
from plumbline.roofline.measured import ENCODER, ENCODER_TEXT, HASH, KERNELS, TRANSPORT, profiled
from plumbline.roofline.tower import tower

HISTORY = ROOT / "benchmarks" / "history"
ATTENTION = "2026-11-21-ac0cdd0-device-attention.json"
VARIANTS = "2026-11-21-b2a1793-device-hash-variants.json"
TEXT_PATCHES = {"1x64": 64, "1x256": 256, "1x1024": 1024, "32x64": 2048, "32x256": 8192, "32x1024": 32768}
HEADS = 16
MIB = 1 << 20
Points = Iterable[tuple[float, float]]


def raw(name: str) -> Any:
    return json.loads((HISTORY / name).read_text(encoding="utf-8"))


def cited(*names: str) -> list[str]:
    return [f"benchmarks/history/{name}" for name in names]


def rounded(rate: float) -> float:
    """In four digits, upwards: a floor must stay below the very measurement that its ceiling follows from."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 3)
    return float(f"{math.ceil(rate / step) * step:.4g}")


def rising(points: Points) -> list[tuple[float, float]]:
    """Sorted, each with the best rate of its size and all smaller ones."""
    best, found = 0.0, {}
    for size, rate in sorted(points):
        best = max(best, rounded(rate))
        found[size] = best
    return list(found.items())


def operations(family: str, patches: int, first: bool) -> float:
    """Of a tower's linears. first: with the one of the patches themselves, which ``device_encoder_floor`` leaves out."""
    every = tower(family).linears
    return sum(2 * patches / joined * outputs * inputs * count for joined, outputs, inputs, count in every[not first :])


def linears() -> Points:
    """Each family's linears together, by patches; and what they took in a whole tower, seen by a profiler."""
    for row in raw(ENCODER)["rows"]:
        patches = sum(t * h * w for t, h, w in row["images"])
        yield patches, operations(row["family"], patches, False) / row["floor"]["linears"] * 1e3
    for section in (HISTORY / ENCODER_TEXT).read_text(encoding="utf-8").split("\n== ")[1:]:
        family = section.split("\n", 1)[0]
        for case, parts in re.findall(r"^(\w+) \{.*'floor': (\{.*?\})", section, re.MULTILINE):
            if case in TEXT_PATCHES:
                patches = TEXT_PATCHES[case]
                yield patches, operations(family, patches, False) / ast.literal_eval(parts)["linears"] * 1e3
        took = sum(profiled(section, name) for name in KERNELS["linears"])
        yield 32768, operations(family, 32768, True) / took * 1e6


def attention(head: int) -> Points:
    for row in raw(ATTENTION)["rows"]:
        if row["head size"] == head and "length" in row:
            work = 4 * row["length"] ** 2 * HEADS * head * row["segments"]
            yield row["length"], work / min(row["microseconds"].values()) * 1e6


def hash_on_gpu() -> Points:
    for size, calls in raw(VARIANTS)["calls"].items():
        if "x" not in size:
            nbytes = int(float(size) * MIB)
            yield nbytes, nbytes / calls["kernel, table copied before"] * 1e6


def hash_on_host() -> Points:
    for row in raw(HASH)["rows"]:
        if len(row["bytes"]) == 1:
            samples = row["microseconds"]["blake3 on the host, up to 8 threads"]
            yield row["bytes"][0], row["bytes"][0] / statistics.median(samples) * 1e6


def rates() -> dict[str, dict[str, Any]]:
    copied = raw(VARIANTS)["calls"]["512"]["device copy of as many bytes"]
    down = next(row for row in raw(HASH)["rows"] if row["case"] == "512 MiB")["microseconds"]["copy to pinned memory"]
    streams = [
        stream["link_bytes"] / statistics.median(seconds)
        for stream in raw(TRANSPORT)["stream"]
        for seconds in stream["seconds"].values()
    ]
    found: list[tuple[str, float, str, str | None]] = [
        ("HBM", 2 * 512 * MIB / copied * 1e6, "512 MiB copied on the device, bytes read and written", VARIANTS),
        ("NVLink", max(streams), "the best stream of payloads out of one GPU", TRANSPORT),
        (
            "PCIe, pinned",
            512 * MIB / statistics.median(down) * 1e6,
            "512 MiB copied down to pinned memory; up, by hand and without a raw result, it was 55 GB/s too",
            HASH,
        ),
        ("PCIe, pageable", 8.2e9, "copied up from pageable memory, by hand: no raw result was kept", None),
    ]
    return {
        name: {"value": rounded(value), "unit": "B/s", "what": what, "source": source and cited(source)[0]}
        for name, value, what, source in found
    }


def derive() -> dict[str, Any]:
    tables: dict[str, tuple[str, str, str, Points, list[str]]] = {
        "linears": (
            "FLOP/s",
            "patches",
            "all linears of a tower, bfloat16, cuBLAS with bias; the best of three families",
            linears(),
            cited(ENCODER, ENCODER_TEXT),
        )
    }
    for head in (72, 80):
        what = f"head size {head}, {HEADS} heads, bfloat16, not causal; the best of our kernel, cuDNN and flash"
        tables[f"attention {head}"] = ("FLOP/s", "length", what, attention(head), cited(ATTENTION))
    one = "one payload, "
    tables["BLAKE3 on the GPU"] = ("B/s", "bytes", one + "the kernel alone", hash_on_gpu(), cited(VARIANTS))
    tables["BLAKE3 on the host"] = ("B/s", "bytes", one + "up to 8 threads", hash_on_host(), cited(HASH))
    environment = raw(VARIANTS)["environment"]
    return {
        "device": environment["gpu"],
        "torch": environment["torch"],
        "driver": environment["driver"],
        "rates": rates(),
        "tables": {
            name: {"unit": unit, "by": by, "what": what, "points": rising(points), "sources": sources}
            for name, (unit, by, what, points, sources) in tables.items()
        },
    }


def text() -> str:
    """The file, a point of a table to a line."""
    return re.sub(r"\[\s+([\d.e+]+),\s+([\d.e+]+)\s+\]", r"[\1, \2]", json.dumps(derive(), indent=1)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--check", action="store_true", help="write nothing: whether the file is what would be written")
    options = parser.parse_args()
    if options.check and options.out.read_text(encoding="utf-8") != text():
        raise SystemExit(f"{options.out} does not follow from the raw results")
    if not options.check:
        options.out.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
