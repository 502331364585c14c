"""Figures as people read them. A figure and its unit are not parted where a line ends."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Three significant digits with the unit that suits: 118 µs."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{digits(seconds / size)}\N{NO-BREAK SPACE}{unit}"
    return f"{digits(seconds / 1e-9)}\N{NO-BREAK SPACE}ns"


def digits(value: float) -> str:
    """Three significant digits, never as a power of ten."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}".rstrip(".")


def change(factor: float) -> str:
    """+31 %, −12.5 %, or × 2.4 from a doubling on. factor: new over old."""
    if factor >= 2:
        return f"×\N{NO-BREAK SPACE}{digits(factor)}"
    share = 100 * (factor - 1)
    return f"{'+' if share >= 0 else '−'}{abs(share):.3g}\N{NO-BREAK SPACE}%"


def counted(count: int, noun: str) -> str:
    """1 run, 2,000 runs."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def day(when: str) -> str:
    """The date of an ISO 8601 time."""
    return when[:10]
