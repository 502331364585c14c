"""Comparisons: how often they are wrong on simulated machines, and what they say of everything that is no time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from plumbline.speed.compare import Change, Verdict, compare, settle
from plumbline.speed.intervals import Process, change, luck, processes, quantile
from plumbline.speed.record import Key, Measurement, Record, Withheld
from tests.speed.simulated import Machine, benchmark, measurement, rates, record

COUNTERS = {"bytes copied": 4096, "calls": 2}
TIGHT = Machine(spread=0.002, drift=0.0)


def pair(seed: int = 0, **planted: float) -> tuple[Record, Record]:
    """Of a quiet machine. planted: factors of benchmark 0, by implementation."""
    draw = np.random.default_rng(seed)
    slower = {(0, side): factor for side, factor in planted.items()}
    return record(draw, TIGHT, counters=COUNTERS), record(draw, TIGHT, slower, COUNTERS)


def only(changes: list[Change], number: int = 0) -> Change:
    """About the times of optimized in a benchmark."""
    return next(c for c in changes if c.key.benchmark == benchmark(number) and not c.counter)


def edited(of: Record, edit: Callable[[Measurement], Measurement], number: int = 0) -> Record:
    """With the measurements of one benchmark changed."""
    return replace(
        of,
        measurements=tuple(edit(m) if m.key.benchmark == benchmark(number) else m for m in of.measurements),
    )


# -------------------------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(
    "machine", [Machine(3, 10), Machine(5, 10), Machine(5, 5, spread=0.2), Machine(1, 10, spread=0.05)], ids=str
)
def test_a_run_without_a_change_seldom_fails(machine: Machine) -> None:
    """That is, that any of its 25 series is flagged: at most once in twenty runs, however far processes differ."""
    first, settled = rates(machine, runs=200).false_alarms
    assert first <= 0.06
    assert settled <= 0.05


def test_a_machine_in_another_mood_is_no_slowdown() -> None:
    """Where the base's code is measured in turns with today's. A record of the base cannot tell."""
    machine = Machine(5, 10, mood=0.08)
    assert max(rates(machine, runs=100).false_alarms) <= 0.05
    assert min(rates(machine, runs=20, in_turns=False).false_alarms) > 0.5


@pytest.mark.parametrize(
    ("machine", "factor", "least"),
    [(Machine(5, 10), 1.1, 0.9), (Machine(5, 10, spread=0.01), 1.1, 0.95), (Machine(3, 10), 1.2, 0.95)],
    ids=str,
)
def test_a_planted_slowdown_is_found_in_its_series(machine: Machine, factor: float, least: float) -> None:
    """After what was suspected was measured again; and nothing else is flagged."""
    found = rates(machine, runs=60, factors=(factor,))
    assert found.found[factor][1] >= least
    assert found.false_alarms[1] <= 0.05


def test_an_extra_copy_is_found_every_time_whatever_the_noise() -> None:
    machine = Machine(3, 5, spread=0.3)
    for seed in range(20):
        draw = np.random.default_rng(seed)
        base, new = record(draw, machine, counters=COUNTERS), record(draw, machine, counters=COUNTERS)
        copied = edited(new, lambda m: replace(m, counters=m.counters and {"bytes copied": 8192, "calls": 2}), number=7)
        failed = [c for c in compare(base, copied) if c.verdict == "counter grew"]
        assert [(c.key.benchmark, c.counter, c.old, c.new, c.fails) for c in failed] == [
            (benchmark(7), "bytes copied", 4096, 8192, True)
        ]
        assert not [c for c in compare(base, new) if c.counter]


# -------------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("planted", "verdict"),
    [
        ({}, "same"),
        ({"optimized": 1.02}, "same"),
        ({"optimized": 1.1}, "slower"),
        ({"optimized": 0.9}, "faster"),
        ({"optimized": 1.3, "reference": 1.3}, "same"),
        ({"reference": 0.85}, "baseline moved"),
        ({"optimized": 1.15, "reference": 0.85}, "slower"),
    ],
)
def test_verdicts_on_a_quiet_machine(planted: dict[str, float], verdict: str) -> None:
    base, new = pair(seed=3, **planted)
    changes = compare(base, new)
    assert only(changes).verdict == verdict
    assert {c.verdict for c in changes if c.key.benchmark != benchmark(0)} == {"same"}
    assert [c.fails for c in changes] == [verdict == "slower"] + [False] * 24


def test_both_sides_are_said() -> None:
    found = only(compare(*pair(seed=3, reference=0.85)))
    assert found.baseline_itself is not None
    assert found.drift is not None
    assert found.itself / found.drift == pytest.approx(1.0, abs=0.03)
    assert found.baseline_itself / found.drift == pytest.approx(0.85, abs=0.03)
    assert math.exp(found.interval.middle) == pytest.approx(1 / 0.85, abs=0.02)  # type: ignore[union-attr]
    assert "over reference; itself" in str(found)


def test_with_few_other_baselines_nobody_can_tell_who_moved() -> None:
    base, new = (replace(r, measurements=r.measurements[:6]) for r in pair(seed=3, reference=0.85))
    found = only(compare(base, new))
    assert (found.verdict, found.drift) == ("slower", None)


def test_a_baseline_has_no_verdict_of_its_own() -> None:
    assert {c.key.implementation for c in compare(*pair(reference=2.0))} == {"optimized"}


def test_the_threshold_is_the_caller_s() -> None:
    base, new = pair(optimized=1.1)
    assert only(compare(base, new, threshold=0.2)).verdict == "same"
    assert only(compare(base, new, threshold=0.01)).verdict == "slower"


def test_wide_intervals_are_unclear_and_measured_again() -> None:
    draw = np.random.default_rng(5)
    machine = Machine(3, 5, spread=0.2)
    changes = compare(record(draw, machine), record(draw, machine, {(0, "optimized"): 1.1}))
    unclear = [c for c in changes if c.verdict == "unclear"]
    assert len(unclear) > 12
    for c in unclear:
        assert c.interval is not None
        assert max(c.interval.high, -c.interval.low) > math.log(1.1)
        assert c.suspected == (c.interval.middle > math.log(1.03))


def test_what_chance_gives_the_worst_of_many_series_is_unclear() -> None:
    """3.8 % where nothing else moves: enough for one series and a threshold of 1 %, not for the worst of 25."""

    def still(factor: float, count: int) -> Record:
        sides = (("optimized", factor), ("reference", 1.0))
        every = [(k, side, f if k == 0 else 1.0) for k in range(count) for side, f in sides]
        return replace(
            pair()[0], measurements=tuple(measurement(k, s, np.full((5, 10, 2), f), {}) for k, s, f in every)
        )

    found = [only(compare(still(1.0, n), still(1.038, n), threshold=0.01)) for n in (1, 25)]
    assert [c.verdict for c in found] == ["slower", "unclear"]


def test_without_a_baseline_drift_is_part_of_the_interval() -> None:
    """So that plain pytest-benchmark figures of two runs are not believed below a third."""
    for factor, verdict in ((1.1, "unclear"), (2.0, "slower")):
        base, new = pair(optimized=factor)
        alone = [edited(r, lambda m: replace(m, baseline="")) for r in (base, new)]
        found = only(compare(*alone))
        assert (found.verdict, found.baseline, found.baseline_itself) == (verdict, "", None)
        assert "drift included" in str(found)


# ------------------------------------------------------------------------------------------------------ measured again


def test_without_the_base_s_code_both_runs_decide_together() -> None:
    draw = np.random.default_rng(0)
    base, first, slow, quiet = (record(draw, TIGHT, {(0, "optimized"): f}) for f in (1.0, 1.09, 1.09, 0.98))
    flagged = only(compare(base, first))
    assert (flagged.verdict, flagged.suspected) == ("slower", True)
    still_slow = only(settle([flagged], lambda _: (None, slow)))
    assert (still_slow.verdict, len(still_slow.after)) == ("slower", 10)
    assert only(settle([flagged], lambda _: (None, quiet))).verdict == "same"


def test_beside_the_base_s_code_only_what_ran_in_turns_decides() -> None:
    """However far the machine has drifted since the base was measured."""
    draw = np.random.default_rng(0)
    base, moved, moved_too, slow = (record(draw, TIGHT, {(0, "optimized"): f}) for f in (1.0, 1.2, 1.2, 1.32))
    flagged = only(compare(base, moved))
    assert flagged.verdict == "slower"
    assert only(settle([flagged], lambda _: (moved_too, moved))).verdict == "same"
    assert only(settle([flagged], lambda _: (moved_too, slow))).verdict == "slower"


def test_a_baseline_that_got_faster_is_told_apart_in_turns_too() -> None:
    draw = np.random.default_rng(0)
    base, first = (record(draw, TIGHT, {(0, "optimized"): f}) for f in (1.0, 1.3))
    faster = [replace(m, samples=tuple(0.8 * s for s in m.samples)) for m in base.measurements if not m.baseline]
    new = replace(base, measurements=(*faster, *(m for m in base.measurements if m.baseline)))
    assert only(settle([only(compare(base, first))], lambda _: (base, new))).verdict == "baseline moved"


def test_what_was_not_measured_again_stays_as_it_was() -> None:
    base, new = pair(optimized=1.2)
    flagged = only(compare(base, new))
    nothing = replace(new, measurements=())
    grown = Change(flagged.key, Verdict.COUNTER_GREW, counter="calls", old=1, new=2)
    assert settle([flagged, grown], lambda _: (base, nothing)) == [flagged, grown]
    assert settle([grown], lambda _: pytest.fail("nothing is suspected")) == [grown]


def test_processes_that_are_either_fast_or_slow_are_not_believed_by_their_mean() -> None:
    """A few more slow ones in one record than in the other is luck; all of them is none."""

    def drawn(*slow: int) -> list[Process]:
        return [Process(0.3 * (k in slow) + 0.001 * k, 0.001) for k in range(8)]

    assert luck(drawn(1), drawn(0, 2, 5)) > 0.05
    assert luck(drawn(), drawn(*range(8))) < 0.001
    assert luck(drawn(*range(8)), drawn()) == 1
    total = sum(luck([Process(a, 0)], [Process(b, 0)]) for a, b in ((1, 2), (2, 1)))
    assert total == pytest.approx(1.5)  # the chance of at least this, both ways


# ------------------------------------------------------------------------------------------------- what is not a time


def test_counters_that_fall_or_are_not_counted_any_more() -> None:
    base, new = pair()
    changes = compare(base, edited(new, lambda m: replace(m, counters=m.counters and {"calls": 1, "more": 1})))
    assert [(c.counter, c.verdict, c.fails) for c in changes if c.counter] == [
        ("bytes copied", "gone", True),
        ("calls", "counter fell", False),
    ]
    assert "bytes copied, 4096 -> not counted" in str(changes[0])


def test_what_is_gone_fails_unless_it_is_said_why() -> None:
    base, new = pair()
    fewer = replace(new, measurements=new.measurements[2:])
    gone = [c for c in compare(base, fewer) if c.verdict != "same"]
    assert [(c.key.benchmark, c.key.implementation, c.verdict, c.fails) for c in gone] == [
        (benchmark(0), "optimized", "gone", True),
        (benchmark(0), "reference", "gone", True),
    ]
    reasons = (Withheld(benchmark(0), "optimized", "breaks IDENT-004"), Withheld(benchmark(0), "reference", "raised"))
    said = [c for c in compare(base, replace(fewer, withheld=reasons)) if c.verdict != "same"]
    assert [(c.verdict, c.reason, c.fails) for c in said] == [
        ("withheld", "breaks IDENT-004", False),
        ("withheld", "raised", False),
    ]
    raised = replace(fewer, withheld=(Withheld(benchmark(0), "", "raised"),))
    assert [(c.verdict, c.fails) for c in compare(base, raised) if c.verdict != "same"] == [("withheld", False)] * 2
    quick = [c for c in compare(base, replace(fewer, profile="quick")) if c.verdict != "same"]
    assert [(c.verdict, c.fails) for c in quick] == [("not comparable", False)] * 2
    assert [c.verdict for c in compare(fewer, new) if c.verdict != "same"] == ["new", "new"]


@pytest.mark.parametrize("name", ["torch", "driver", "hardware"])
def test_other_machines_are_not_compared_but_counts_are(name: str) -> None:
    base, new = (edited(r, lambda m: replace(m, key=replace(m.key, driver="580"))) for r in pair(optimized=2.0))

    def elsewhere(m: Measurement) -> Measurement:
        return replace(m, key=replace(m.key, **{name: "other"}), counters=m.counters and COUNTERS | {"calls": 3})

    changes = [c for c in compare(base, edited(new, elsewhere)) if c.verdict != "same"]
    assert [(c.verdict, c.counter) for c in changes] == [
        ("counter grew", "calls"),
        ("not comparable", ""),
        ("not comparable", ""),
    ]
    was = getattr(base.measurements[0].key, name)
    assert {c.reason for c in changes[1:]} == {f"{name} was {was}, now is other"}


def test_another_baseline_is_not_compared() -> None:
    base, new = pair()
    for edit, reason in (
        (lambda m: replace(m, baseline=""), "was measured over reference, now over nothing"),
        (lambda m: replace(m, version="2"), "reference was 1, now is 2"),
    ):
        found = only(compare(base, edited(new, edit)))
        assert (found.verdict, found.reason) == ("not comparable", reason)


# ---------------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(("freedom", "value"), [(4, 2.7764), (6, 2.4469), (12, 2.1788), (100, 1.9840)])
def test_quantiles_of_student_s_distribution(freedom: int, value: float) -> None:
    assert quantile(freedom, 0.025) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(("freedom", "value"), [(4, 7.1732), (6, 5.2076), (12, 3.9296), (100, 3.1737)])
def test_quantiles_far_out(freedom: int, value: float) -> None:
    assert quantile(freedom, 0.001) == pytest.approx(value, rel=0.03)


def test_an_interval_by_hand() -> None:
    """Three and two processes: (4 0.03^2 + 2 0.01^2 + 2 0.01^2) / 7, times 1/3 + 1/2, and Student's 2.3646."""
    before = [Process(value, 0.0) for value in (0.09, 0.1, 0.11)]
    found = change(before, [Process(0.19, 0.0), Process(0.21, 0.0)], in_turns=True)
    half = 2.3646 * math.sqrt((4 * 0.0009 + 0.0002 + 0.0002) / 7 * 5 / 6)
    assert (found.middle, found.low, found.high) == pytest.approx((0.1, 0.1 - half, 0.1 + half), rel=1e-3)
    assert change(before, before, in_turns=False).high > 1.96 * 0.08 * math.sqrt(2)


def test_a_single_process_is_as_sure_as_its_rounds() -> None:
    one = [Process(0.0, 0.1)]
    assert change(one, one, in_turns=True).high == pytest.approx(2.7764 * 0.1 * math.sqrt(2), rel=1e-3)


def test_a_process_is_the_median_of_its_rounds() -> None:
    """Rounds are sums over both turns, of either side; what does not fill a round counts for nothing."""
    ours, theirs = np.full((2, 3, 2), 2.0), np.full((2, 3, 2), 1.0)
    ours[0, 1] = 100.0
    ours[1] *= 3
    a, b = measurement(0, "optimized", ours, {}), measurement(0, "reference", theirs, {})
    assert [p.middle for p in processes(a, b)] == pytest.approx([math.log(2), math.log(6)])
    assert [p.middle for p in processes(a, None)] == pytest.approx([math.log(4), math.log(12)])
    odd = Measurement(Key("a", "b", "c", "", ""), "", (1.0, 1.0, 50.0, 4.0, 4.0), (3, 2), round_of=2)
    assert [p.middle for p in processes(odd, None)] == pytest.approx([math.log(2), math.log(8)])
