"""Numbers as the page writes them; ``form.js`` writes them alike."""

from __future__ import annotations

BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
OPERATIONS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))
TIMES = ((1e6, "s"), (1e3, "ms"), (1.0, "us"))
NONE = "–"


def digits(number: float) -> str:
    """Three digits that count, and all before the point."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def scaled(number: float, units: tuple[tuple[float, str], ...]) -> str:
    if not number:
        return NONE
    size, unit = next(((size, unit) for size, unit in units if number >= size), units[-1])
    return f"{digits(number / size)} {unit}"


def nbytes(number: float) -> str:
    return scaled(number, BYTES)


def operations(number: float) -> str:
    return scaled(number, OPERATIONS)


def time(microseconds: float | None) -> str:
    return "no ceiling" if microseconds is None else scaled(microseconds, TIMES)


def rate(number: float, unit: str) -> str:
    if unit == "FLOP/s":
        return f"{digits(number / 1e12)} TFLOP/s"
    return f"{scaled(number, BYTES)}/s"


def per_second(number: float | None) -> str:
    return NONE if number is None else f"{digits(number)}/s"
