"""What the dashboard reads out of a history: order, changes, counters that grew, speeds that are withheld."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plumbline.dashboard.series import RECENT, gather, without_speed
from plumbline.dashboard.units import change, duration
from plumbline.speed.history import History, read_all
from tests.dashboard.histories import Line, record
from tests.dashboard.sites import history

RUNS = 30


def read(folder: Path, *drawn: Line, runs: int = RUNS) -> History:
    return read_all(history(folder / "history", *(record(run, drawn) for run in range(runs))))


def test_what_changed_most_comes_first_either_way_then_the_highest_ratio(tmp_path: Path) -> None:
    lines = [
        Line("a/quiet", ratio=0.5),
        Line("b/slower by a tenth", steps={20: 1.1}),
        Line("c/quiet and slow", ratio=1.5),
        Line("d/halved", steps={10: 0.5}),
        Line("e/without ratio"),
        Line("f/slower by a third", steps={12: 1.33}),
    ]
    found = gather(read(tmp_path, *lines).records)
    assert [s.key.benchmark[0] for s in found] == ["d", "f", "b", "c", "a", "e"]
    step = found[0].step
    assert step is not None
    assert step.factor == pytest.approx(0.5, rel=0.05)
    assert step.after.start == 10


def test_the_last_change_counts_not_the_largest(tmp_path: Path) -> None:
    twice, once = Line("a/twice", steps={8: 3.0, 20: 1.05}, noise=0.002), Line("b/once", steps={10: 1.2})
    assert [s.key.benchmark for s in gather(read(tmp_path, twice, once).records)] == ["b/once", "a/twice"]


def test_a_spike_is_no_change(tmp_path: Path) -> None:
    (series,) = gather(read(tmp_path, Line("a/b", spikes={15: 4.0})).records)
    assert series.step is None


def test_what_is_no_longer_measured_comes_last(tmp_path: Path) -> None:
    gone, here = Line("a/gone", steps={10: 9.0}), Line("b/here")
    for missing in (RECENT - 1, RECENT):
        records = [record(run, [gone, here] if run < RUNS - missing else [here]) for run in range(RUNS)]
        found = gather(read_all(history(tmp_path / str(missing), *records)).records)
        assert [s.current for s in found] == ([True, True] if missing < RECENT else [True, False])
        assert found[-1].key.benchmark == ("b/here" if missing < RECENT else "a/gone")


@pytest.mark.parametrize(
    ("counts", "grown"),
    [
        ((4, 4, 6, 6), [("calls", 4, 6, 2)]),
        ((4, 6, 6, 5), []),
        ((6, 6, 6, 6), []),
        ((4, 6, 5, 6), [("calls", 5, 6, 1)]),
        ((None, None, 6, 6), []),
    ],
)
def test_a_counter_grew_if_its_last_change_was_upwards(
    tmp_path: Path, counts: tuple[int | None, ...], grown: list[Any]
) -> None:
    records = []
    for run, count in enumerate(counts):
        line = Line("a/b", counters={} if count is None else {"calls": (count, 0, count)})
        records.append(record(run, [line]))
    (series,) = gather(read_all(history(tmp_path / "history", *records)).records)
    assert [(g.name, g.before, g.now, g.runs) for g in series.grown] == grown


def test_a_counter_that_moves_by_itself_has_to_grow_by_more(tmp_path: Path) -> None:
    for more, grown in ((4096, 0), (1 << 17, 1)):
        counts = {"python_bytes": (1 << 20, 2, (1 << 20) + more)}
        (series,) = gather(read(tmp_path / str(more), Line("a/b", counters=counts), runs=3).records)
        assert len(series.grown) == grown


@pytest.mark.parametrize("whose", ["optimized", ""], ids=["its own", "of all that were timed together"])
def test_a_speed_is_withheld_until_a_newer_record_has_it(tmp_path: Path, whose: str) -> None:
    line = Line("identify/b")
    refusal = {"benchmark": "identify/b", "implementation": whose, "reason": "breaks IDENT-004"}
    records = [record(0, [line]), record(1, [], withheld=[refusal]), record(2, [line])]
    for count, reason in ((2, "breaks IDENT-004"), (3, "")):
        found = read_all(history(tmp_path / str(count), *records[:count])).records
        assert [s.withheld for s in gather(found)] == [reason]
        assert [w.reason for _, w in without_speed(found)] == ([reason] if reason else [])


def test_an_element_s_id_is_that_of_its_key_alone(tmp_path: Path) -> None:
    line = Line("a/b")
    alone, among = read(tmp_path / "1", line, runs=2), read(tmp_path / "2", Line("a/a", steps={2: 4.0}), line, runs=9)
    (only,) = gather(alone.records)
    assert only.id in {s.id for s in gather(among.records)}
    other = gather(read(tmp_path / "3", Line("a/b", machine="h200"), runs=1).records)[0]
    assert other.id != only.id


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(118.4e-6, "118 µs"), (2.1e-3, "2.10 ms"), (0.99996e-3, "1.00 ms"), (5e-9, "5.00 ns"), (1234.0, "1,234 s")],
)  # fmt: skip
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(("factor", "text"), [(1.31, "+31 %"), (0.875, "−12.5 %"), (2.4, "× 2.40"), (1.0, "+0 %")])
def test_changes_read_as_shares(factor: float, text: str) -> None:
    assert change(factor).replace("\N{NO-BREAK SPACE}", " ") == text
