"""A series as a small drawing that needs no script: noise bands of its levels, medians, steps, and the last point."""

from __future__ import annotations

import statistics
from itertools import pairwise

from plumbline.dashboard.series import Series
from plumbline.markup import Html, join, tag

POINTS = 100
"""More are put together, by their median."""
LEAST_SPAN = 0.06
"""Of the middle: what is quiet must not look wild."""


def window(series: Series) -> tuple[float, float]:
    """From and to which seconds are drawn: all bands and what is near them; spikes end at the edge."""
    low, high = min(v.low for v in series.levels), max(v.high for v in series.levels)
    middle, half = (low + high) / 2, max(high - low, LEAST_SPAN * (low + high) / 2) * 0.65
    return max(0.0, middle - half), middle + half


def sparkline(series: Series, width: int, height: int) -> Html:
    """width, height: of its coordinates; the style sheet says how large it is shown."""
    low, high = window(series)
    count = len(series.points)

    def x(at: float) -> str:
        return f"{(at + 0.5) / count * (width - 6) + 2:.4g}"

    def y(seconds: float) -> str:
        return f"{height - 2 - (min(max(seconds, low), high) - low) / (high - low) * (height - 4):.4g}"

    parts: list[Html] = []
    for level in series.levels:
        left, right, top, bottom = x(level.start - 0.5), x(level.stop - 0.5), y(level.high), y(level.low)
        parts.append(tag("path", class_="band", d=f"M{left} {top}H{right}V{bottom}H{left}Z"))
    for before, after in pairwise(series.levels):
        kind = "slower" if after.middle > before.middle else "faster"
        parts.append(tag("path", class_=f"step {kind}", d=f"M{x(after.start - 0.5)} 1V{height - 1}"))
    medians = [p.median for p in series.points]
    size = -(-count // POINTS)
    bins = [(k, medians[k : k + size]) for k in range(0, count, size)]
    line = "L".join(f"{x(k + (len(bin) - 1) / 2)} {y(statistics.median(bin))}" for k, bin in bins)
    parts.append(tag("path", class_="line", d=f"M{line}"))
    parts.append(tag("path", class_="last", d=f"M{x(count - 1)} {y(medians[-1])}h0"))
    box = f"0 0 {width} {height}"
    return tag("svg", join(parts), viewBox=box, preserveAspectRatio="none", class_="spark", aria_hidden="true")
