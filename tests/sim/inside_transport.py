"""Deliveries between simulated devices reach what they judge: pools on devices and on the host, messages, and a death."""

from __future__ import annotations

from plumbline.resolve import resolve
from plumbline.sim.deliveries import explore


def test_every_judgement_is_made() -> None:
    report = explore(resolve("optimized"), 20, 7)
    assert not report.findings
    assert {"pooled", "in place", "message"} <= set(report.reach)
    assert report.judged["MOVE-010"] >= 100
    assert report.judged["POOL-019"] == 2  # of a worker that dies, and of one that hangs and is given up
