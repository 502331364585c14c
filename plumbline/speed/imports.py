"""Reads what measured speed before there were records, and what others measured: each file becomes a Record.

    read(path)            # of nox -s bench, plain pytest-benchmark JSON, or an older raw result of benchmarks/

An older result says neither when it was made nor how many runs made a round. The first is taken from the file's name, which
begins with the date; the second from the program that wrote it. Nobody asked the conformance suite then: no verdicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plumbline.roofline import ceilings
from plumbline.roofline.measured import ENCODED
from plumbline.roofline.request import Request, model, total
from plumbline.roofline.tower import tower
from plumbline.speed.record import Ceiling, Key, Measurement, Ratio, Record, RecordError, hardware, parse
from plumbline.timing import ratio

MIB = 1 << 20
MESSAGES = 16
"""Of each way in a round of device_transport: eight at a turn."""
RESAMPLES = 200
"""Enough for a figure that is shown; 400 of them are read in a second."""

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """Seconds of each way, ``round_of`` to a round. baseline: the way to divide by, "" where ways were not in turns."""

    benchmark: str
    seconds: Mapping[str, list[float]]
    round_of: int = 1
    baseline: str = ""
    ceiling: Ceiling | None = None


def read(path: Path) -> Record:
    """Raises RecordError for what measured no speed, or cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not readable as JSON ({error})") from error
    return from_data(data, path.name)


def from_data(data: Any, name: str) -> Record:
    """data: what JSON gave. name: of its file. Raises RecordError as read does."""
    reader = reader_of(data, name)
    if reader is None:
        return parse(data, name)
    try:
        return _record(data, name, list(reader(data)))
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise RecordError(f"{name}: not as the benchmark writes it that its name says ({error!r})") from error


def reader_of(data: Any, name: str) -> Callable[[Result], Iterator[Case]] | None:
    """Of an older raw result, by the end of its file's name; None for pytest-benchmark's JSON and all else."""
    if not isinstance(data, dict) or "benchmarks" in data:
        return None
    stem = re.sub(r"^[\d-]{10}-([0-9a-f]{7}\+?-)?", "", name.removesuffix(".json"))
    return READERS.get(stem)


def _record(data: Result, name: str, cases: Iterable[Case]) -> Record:
    environment = dict(data["environment"])
    environment.setdefault("driver", data.get("driver", ""))
    return Record(
        name=name,
        commit=str(data["commit"]),
        when=name[:10],
        profile="",
        environment=environment,
        measurements=tuple(m for case in cases for m in _measurements(case, environment)),
    )


def _measurements(case: Case, environment: Mapping[str, Any]) -> Iterator[Measurement]:
    device = "cuda" if environment["gpu"] else "cpu"
    base = case.seconds.get(case.baseline)
    for way, seconds in case.seconds.items():
        other = base if way != case.baseline else None
        yield Measurement(
            key=Key(
                benchmark=case.benchmark,
                implementation=_implementation(way),
                hardware=hardware(environment, device),
                driver=str(environment["driver"] or "") if device == "cuda" else "",
                torch=str(environment["torch"]),
            ),
            version=way.split(",")[0].removeprefix("SGLang ") if way.startswith("SGLang ") else "",
            samples=tuple(seconds),
            processes=(len(seconds),),
            round_of=case.round_of,
            baseline=_implementation(case.baseline) if other else "",
            ratio=Ratio(*ratio(seconds, other, case.round_of, RESAMPLES)) if other else None,
            ceiling=case.ceiling,
        )


def _implementation(way: str) -> str:
    return re.sub("^SGLang", "sglang", way)


def _of_unit(samples: Iterable[float], unit: float) -> list[float]:
    return [unit * sample for sample in samples]


def _size(nbytes: int) -> str:
    return f"{nbytes / MIB:.4g} MiB"


def _encoder(data: Result) -> Iterator[Case]:
    """Of benchmarks/device_encoder.py."""
    names = {
        "encode": "optimized",
        "encode from the host": "optimized, from the host",
        "image by image": "optimized, image by image",
        "tower": "optimized, tower alone",
        "tower, no floor": "optimized, tower alone, no floor",
    }
    for row in data["rows"]:
        seconds = {names.get(way, way): _of_unit(samples, 1e-3) for way, samples in row["milliseconds"].items()}
        ceiling = _floor(row, data["environment"]["gpu"])
        yield Case(f"encode/{row['family']}, {row['case']}", seconds, 2, "transformers", ceiling)


def _floor(row: Result, gpu: str) -> Ceiling | None:
    """The roofline's, of the tower alone, where the GPU is the one whose ceilings are known."""
    known = ceilings.read()
    if known.device != gpu:
        return None
    images = tuple((frames, height, width) for frames, height, width in row["images"])
    stages = model(Request(row["family"], images, 0, tower(row["family"]).out), known)
    return Ceiling(1e-6 * total(stages, ENCODED), "the roofline's floor of the tower")


def _hash(data: Result) -> Iterator[Case]:
    """Of benchmarks/device_hash.py."""
    names = {"identify": "optimized", "digests": "optimized, digests alone", "verify": "optimized, verify"}
    for row in data["rows"]:
        seconds = {names.get(way, way): _of_unit(samples, 1e-6) for way, samples in row["microseconds"].items()}
        yield Case(f"identify/{row['case']}", seconds, 2 * row["runs"], "SGLang 0.5.23")


def _device_transport(data: Result) -> Iterator[Case]:
    """Of benchmarks/device_transport.py. Of small items, the time of one request: ways had not equally many."""
    sleeping = ", sleeping" if data["sleep"] else ""
    for row in data["one_way"]:
        seconds = {way: _of_unit(spans["one_way"], 1e-6) for way, spans in row["ways"].items()}
        where = f"transport/{_size(row['bytes'])} from GPU 0 to GPU {row['reader']}{sleeping}"
        yield Case(where, seconds, MESSAGES, "SGLang 0.5.23")
    for row in data.get("small", []):
        seconds = {way: _of_unit(flow["seconds"], 1 / flow["requests"]) for way, flow in row["ways"].items()}
        yield Case(f"transport/small items, {row['items']} in a request", seconds, 2, "SGLang 0.5.23")
    for row in data.get("stream", []):
        gpus = " and ".join(map(str, row["readers"]))
        name = f"transport/{row['requests']} requests of {row['load']}, {row['delivery']}, GPUs {gpus}"
        yield Case(name, row["seconds"], 2, row["measure"])


def _side_by_side(data: Result) -> Iterator[Case]:
    """Of benchmarks/sglang.py."""
    parts = {"split": "prepare", "hash": "identify", "embed": "embed"}
    sglang = f"SGLang {data['sglang']}"
    for row in data["rows"]:
        seconds = {"optimized": row["seconds"]["optimized"], sglang: row["seconds"]["sglang"]}
        workload = row["case"].removeprefix("embed, ")
        yield Case(f"{parts[row['case'].split()[0].strip(',')]}/{workload}", seconds, 2 * row["runs"], sglang)


def _transport(data: Result) -> Iterator[Case]:
    """Of benchmarks/transport.py: until each page was read, so that no way leaves its page faults to later."""
    sglang = str(data["sglang"]).replace("sglang-", "SGLang ")
    for row in data["rows"]:
        burst = f", {row['in_flight']} in flight" if row["in_flight"] > 1 else ""
        seconds = {way.replace("SGLang", sglang): kept["touched"] for way, kept in row["seconds"].items()}
        yield Case(f"transport/{_size(row['bytes'])}{burst}", seconds, 2, "reference")


def _ranks(data: Result) -> Iterator[Case]:
    """Of benchmarks/device_ranks.py, which kept the median alone."""
    for row in data["steps"]:
        yield Case(f"embed/32 images of 1,024 patches, {row['ranks']} ranks", {"optimized": [1e-3 * row["ms"]]})


def _attention(data: Result) -> Iterator[Case]:
    """Of benchmarks/device_attention.py, which kept medians alone."""
    for row in data["rows"]:
        if "microseconds" not in row:
            continue  # first calls, which compile
        seconds = {{"ours": "optimized"}.get(way, way): [1e-6 * us] for way, us in row["microseconds"].items()}
        yield Case(f"attention/{row['segments']} x {row['length']}, head {row['head size']}", seconds)


READERS: dict[str, Callable[[Result], Iterator[Case]]] = {
    "device-encoder": _encoder,
    "device-hash": _hash,
    "device-transport": _device_transport,
    "device-transport-sleeping": _device_transport,
    "device-ranks": _ranks,
    "device-attention": _attention,
    "side-by-side-sglang": _side_by_side,
    "transport": _transport,
}
