"""Ceilings that are easy to calculate with by hand."""

from __future__ import annotations

from plumbline.roofline.ceilings import RATES, TABLES, Ceilings, Rate, Table

VALUES = {"HBM": 1e12, "NVLink": 1e11, "PCIe, pinned": 1e10, "PCIe, pageable": 1e9}
TABLED = {
    "linears": 1e14,
    "attention 72": 1e13,
    "attention 80": 1e13,
    "BLAKE3 on the GPU": 1e9,
    "BLAKE3 on the host": 1e8,
}
assert set(VALUES) == RATES
assert set(TABLED) == TABLES
ROUND = Ceilings(
    "none",
    "none",
    "none",
    {name: Rate(value, "B/s", "made up", None) for name, value in VALUES.items()},
    {name: Table("1/s", "size", "made up", ((1.0, value),), ()) for name, value in TABLED.items()},
)
