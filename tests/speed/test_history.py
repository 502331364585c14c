"""A folder of records becomes series: everything in it is accounted for, and a base is found or the error says what there is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from plumbline.speed import imports
from plumbline.speed.history import BaseNotFound, find, read_all, series
from plumbline.speed.record import RecordError, read

HISTORY = Path(__file__).parents[2] / "benchmarks" / "history"
PLAIN = Path(__file__).parent / "pytest_benchmark"
CPU: dict[str, Any] = {"torch": "2.13.0", "cpu": "A", "cores": 2, "gpu": None, "driver": ""}
HERE = "A, 2 cores"
GPU = CPU | {"cpu": "B", "cores": 64, "gpu": "NVIDIA H200", "driver": "580"}


def write(folder: Path, name: str, commit: str, when: str, milliseconds: float = 1.0, **machine: Any) -> Path:
    """A record of one benchmark of two implementations."""
    extra = {"benchmark": "identify/36 MiB", "processes": [2], "round_of": 2, "counters": {"hashed bytes": 7}}
    extra["device"] = "cuda" if (CPU | machine)["gpu"] else "cpu"
    ours = {"implementation": "optimized", "baseline": "reference", "ratio": [0.5, 0.4, 0.6], "verdict": "held"}
    data = {
        "machine_info": {"plumbline": CPU | machine},
        "commit_info": {"id": commit + "0" * 33, "dirty": False},
        "datetime": when,
        "plumbline": {"schema": 1, "profile": "quick"},
        "benchmarks": [
            {"stats": {"data": [1e-3 * milliseconds, 2e-3 * milliseconds]}, "extra_info": extra | ours},
            {"stats": {"data": [0.002, 0.004]}, "extra_info": extra | {"implementation": "reference"}},
        ],
    }
    path = folder / name
    path.write_text(json.dumps(data))
    return path


# ------------------------------------------------------------------------------------------------------------ folders


def test_every_file_of_the_repository_is_a_record_or_known() -> None:
    history = read_all(HISTORY)
    assert history.errors == ()
    assert len(history.records) + len(history.others) == sum(path.is_file() for path in HISTORY.iterdir())
    assert len(history.records) >= 8


def test_what_cannot_be_read_is_named_and_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, "good.json", "aaaaaaa", "2026-11-28T10:00:00+00:00")
    (tmp_path / "cut.json").write_text('{"benchmarks": [')
    (tmp_path / "foreign.json").write_text('{"results": 3}')
    (tmp_path / "2026-11-21-665bcd0-device-hash.json").write_text('{"rows": []}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "words.json").write_text('{"machine_info": {}, "benchmarks": ["fast"]}')
    (tmp_path / "bare.json").write_text('{"machine_info": null, "benchmarks": []}')
    still = '{"machine_info": {}, "benchmarks": [{"fullname": "a", "stats": {"data": [0.0, 0.001]}}]}'
    (tmp_path / "still.json").write_text(still)
    (tmp_path / "notes.txt").write_text("seen")
    (tmp_path / "conformance.json").write_text('{"suite": {}, "requirements": []}')
    history = read_all(tmp_path)
    assert [record.name for record in history.records] == ["good.json"]
    assert {other.name: other.kind for other in history.others if not other.error} == {
        "notes.txt": "text",
        "conformance.json": "conformance report",
    }
    errors = {other.name: other.error for other in history.errors}
    named = {"cut.json", "foreign.json", "list.json", "2026-11-21-665bcd0-device-hash.json"}
    assert set(errors) == named | {"words.json", "bare.json", "still.json"}
    assert "a time above 0" in errors["still.json"]
    assert "not readable as JSON" in errors["cut.json"]
    assert "no pytest-benchmark JSON" in errors["foreign.json"]
    assert "'environment'" in errors["2026-11-21-665bcd0-device-hash.json"]


def test_a_series_is_one_key_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, "a.json", "aaaaaaa", "2026-11-28T12:00:00+02:00", 3.0)  # 10:00 in UTC
    write(tmp_path, "b.json", "aaaaaaa", "2026-11-28T11:00:00", 2.0)
    write(tmp_path, "c.json", "bbbbbbb", "2026-11-27", 1.0)
    write(tmp_path, "d.json", "bbbbbbb", "2026-11-29", torch="2.14.0")
    write(tmp_path, "e.json", "bbbbbbb", "2026-11-29", **GPU)
    found = {one.key: one.points for one in series(read_all(tmp_path).records) if one.key.implementation == "optimized"}
    assert [(key.hardware, key.driver, key.torch, len(points)) for key, points in found.items()] == [
        ("A, 2 cores", "", "2.13.0", 3),
        ("A, 2 cores", "", "2.14.0", 1),
        ("NVIDIA H200", "580", "2.13.0", 1),
    ]
    points = next(iter(found.values()))
    assert [(point.record, point.commit) for point in points] == [
        ("c.json", "bbbbbbb"),
        ("a.json", "aaaaaaa"),
        ("b.json", "aaaaaaa"),
    ]
    assert [point.median for point in points] == pytest.approx([0.0015, 0.0045, 0.003])
    assert (points[0].low, points[0].high) == pytest.approx((0.00125, 0.00175))
    assert points[0].baseline == "reference"
    assert points[0].ratio is not None
    assert points[0].ratio.middle == 0.5
    assert points[0].counters == {"hashed bytes": 7}
    assert points[0].verdict == "held"


# -------------------------------------------------------------------------------------------------------------- bases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "1.json", "abcdef1", "2026-11-27")
    write(tmp_path, "2.json", "abcdef1", "2026-11-28")
    write(tmp_path, "3.json", "abc0000", "2026-11-26")
    write(tmp_path, "4.json", "fffffff", "2026-11-29", cores=8)
    write(tmp_path, "5.json", "eeeeeee", "2026-11-29", **GPU)
    (tmp_path / "broken.json").write_text("{")
    shutil.copy(PLAIN / "with_data.json", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("base", "name"), [("abcdef", "2.json"), ("abcdef1" + "0" * 33, "2.json"), ("abc0", "3.json"), ("last", "2.json")]
)
def test_a_base_is_the_newest_record_of_the_same_hardware(folder: Path, base: str, name: str) -> None:
    assert find(folder, base, HERE, "optimized").name == name


def test_a_base_may_be_a_file(folder: Path) -> None:
    assert find(folder, "4.json", HERE, "optimized").name == "4.json"
    assert find(folder, str(folder / "4.json"), HERE, "optimized").name == "4.json"
    assert find(folder, str(PLAIN / "with_data.json"), HERE, "optimized").profile == ""
    with pytest.raises(RecordError, match=r"broken\.json"):
        find(folder, "broken.json", HERE, "optimized")


def test_a_gpu_is_hardware_of_its_own(folder: Path) -> None:
    assert find(folder, "last", "NVIDIA H200", "optimized").name == "5.json"


def test_a_record_of_another_implementation_is_no_base(folder: Path) -> None:
    with pytest.raises(BaseNotFound, match="a record of acme on A, 2 cores"):
        find(folder, "last", HERE, "acme")


def test_what_is_not_there_is_answered_with_what_is(folder: Path) -> None:
    with pytest.raises(
        BaseNotFound, match=r"abcdef1 of 2026-11-28 \(2\.json\); abcdef1 .*; abc0000 of 2026-11-26"
    ) as info:
        find(folder, "fffffff", HERE, "optimized")
    assert "4.json" not in str(info.value)
    with pytest.raises(BaseNotFound, match="none of that hardware yet: nox -s bench"):
        find(folder, "last", "Z, 2 cores", "optimized")
    with pytest.raises(BaseNotFound, match="several commits that have records: abc0000, abcdef1"):
        find(folder, "abc", HERE, "optimized")
    with pytest.raises(BaseNotFound, match="no record is ''"):
        find(folder, "", HERE, "optimized")


# ------------------------------------------------------------------------------------------------------------ imports


def test_plain_pytest_benchmark_files_are_records() -> None:
    """Two runs of the same three tests by pytest-benchmark 5.3.1, whose machine was made anonymous."""
    with_data, without = (read(PLAIN / f"{name}_data.json") for name in ("with", "without"))
    names = ["test_plain.py::test_digest[1024]", "test_plain.py::test_digest[65536]", "test_plain.py::test_sort"]
    for record in (with_data, without):
        assert [m.key.benchmark for m in record.measurements] == names
        assert {m.key.hardware for m in record.measurements} == {"AMD EPYC, 2 cores"}
        assert record.profile == ""
        assert record.when.startswith("2026-")
        assert len(record.commit) == 7
    assert len(with_data.measurements[2].samples) == 20
    assert with_data.measurements[2].processes == (20,)
    stats = json.loads((PLAIN / "without_data.json").read_text())["benchmarks"][2]["stats"]
    assert without.measurements[2].samples == (stats["median"],)
    assert [len(one.points) for one in series([with_data, without])] == [2, 2, 2]


def test_older_results_are_series_in_seconds_with_the_ratios_that_they_had() -> None:
    record = imports.read(HISTORY / "2026-11-21-da96ed4-side-by-side-sglang.json")
    rows = json.loads((HISTORY / record.name).read_text())["rows"]
    ours = {m.key.benchmark: m for m in record.measurements if m.key.implementation == "optimized"}
    assert len(ours) == len(rows)
    assert (record.when, record.commit) == ("2026-11-21", "da96ed4")
    for row, (benchmark, m) in zip(rows, ours.items(), strict=True):
        assert benchmark.split("/")[0] in {"prepare", "identify", "embed"}
        assert (m.baseline, m.round_of, m.key.hardware) == ("sglang 0.5.23", 10, "AMD EPYC, 2 cores")
        assert m.samples == tuple(row["seconds"]["optimized"])
        assert m.ratio is not None
        assert m.ratio.middle == row["ratio"]


TO_1 = "transport/36 MiB from GPU 0 to GPU 1"


@pytest.mark.parametrize(
    ("name", "measured", "implementation", "least", "most"),
    [  # microseconds; docs/on-gpus.md and docs/encoders.md print most of these
        ("665bcd0-device-transport", TO_1, "optimized, in place", 178, 180),
        ("665bcd0-device-transport-sleeping", f"{TO_1}, sleeping", "optimized, in place", 248, 250),
        ("665bcd0-device-hash", "identify/36 MiB", "optimized, digests alone", 118, 120),
        ("57f9a91-device-encoder", "encode/qwen3_vl, 32 x 1,024", "optimized", 67_000, 71_000),
        ("dc93c25-device-ranks", "embed/32 images of 1,024 patches, 1 ranks", "optimized", 68_979, 68_981),
        ("ac0cdd0-device-attention", "attention/32 x 1024, head 72", "optimized", 461, 462),
    ],
)
def test_units_of_older_results(name: str, measured: str, implementation: str, least: float, most: float) -> None:
    record = imports.read(HISTORY / f"2026-11-21-{name}.json")
    m = next(m for m in record.measurements if (m.key.benchmark, m.key.implementation) == (measured, implementation))
    assert least <= 1e6 * m.median <= most
    assert (m.key.hardware, m.key.driver, m.key.torch) == ("NVIDIA H200", "580.159.04", "2.11.0+cu130")
    assert len(m.samples) % m.round_of == 0


def test_each_series_of_older_results_is_there_once_in_its_record() -> None:
    for record in read_all(HISTORY).records:
        keys = [m.key for m in record.measurements]
        assert len(keys) == len(set(keys)), record.name
        assert all(m.median > 0 for m in record.measurements)
        assert all(record.baseline_of(m) is not None for m in record.measurements if m.baseline), record.name
