"""The measured ceilings, which are data: ``benchmarks/ceilings.json``, derived from raw results by ``benchmarks/ceilings.py``."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "benchmarks" / "ceilings.json"
RATES = frozenset({"HBM", "NVLink", "PCIe, pinned", "PCIe, pageable"})
TABLES = frozenset({"linears", "attention 72", "attention 80", "BLAKE3 on the GPU", "BLAKE3 on the host"})


class CeilingsError(Exception):
    """The file of ceilings is missing, or is not one."""


@dataclass(frozen=True)
class Rate:
    """One number. value: in ``unit``. source: the raw result that it follows from; None where none was kept."""

    value: float
    unit: str
    what: str
    source: str | None

    def __post_init__(self) -> None:
        if not (self.value > 0 and math.isfinite(self.value)):
            raise ValueError(f"a rate is positive, not {self.value}")


@dataclass(frozen=True)
class Table:
    """A rate that varies with a size. points: (size, rate), sizes rising, rates never falling.

    A rate that was reached at some size counts for all larger ones, which could be done in pieces of that size.
    """

    unit: str
    by: str
    what: str
    points: tuple[tuple[float, float], ...]
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.points or self.points[0][0] <= 0 or self.points[0][1] <= 0:
            raise ValueError("a table has points, and they are positive")
        if not all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(self.points)):
            raise ValueError("sizes of a table rise, and its rates never fall")

    def at(self, size: float) -> float:
        """The rate, interpolated linearly in log(size); beyond its ends, the table's first and last rate."""
        place = bisect_right([point[0] for point in self.points], size)
        if place in (0, len(self.points)):
            return self.points[max(place - 1, 0)][1]
        (low, below), (high, above) = self.points[place - 1 : place + 1]
        return below + (above - below) * math.log(size / low) / math.log(high / low)


@dataclass(frozen=True)
class Ceilings:
    """device, torch, driver: where all of them were measured."""

    device: str
    torch: str
    driver: str
    rates: Mapping[str, Rate]
    tables: Mapping[str, Table]

    def __post_init__(self) -> None:
        missing = (RATES - set(self.rates)) | (TABLES - set(self.tables))
        if missing:
            raise ValueError(f"no ceiling of {', '.join(sorted(missing))}")

    def seconds(self, amount: float, rate: str) -> float:
        """For ``amount`` bytes over that link."""
        return amount / self.rates[rate].value

    def tabled(self, amount: float, table: str, size: float) -> float:
        """Seconds for ``amount`` of the table's unit, at that size."""
        return amount / self.tables[table].at(size)


def read(file: Path = FILE) -> Ceilings:
    """Raises CeilingsError, which says what is wrong with the file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Ceilings)
    except OSError as error:
        raise CeilingsError(f"{file} cannot be read: {error.strerror}") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise CeilingsError(f"{file}: {error}") from error
