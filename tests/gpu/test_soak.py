"""10,000 requests of all sizes through one engine, while its processes are killed, replaced and held up."""

from __future__ import annotations

import json

import pytest

from plumbline.soak import Scale, Soak


@pytest.mark.requirement("POOL-001", "POOL-003", "POOL-007", "POOL-009", "POOL-011", "POOL-015", "POOL-018", "POOL-019")
def test_ten_thousand_requests(gpus: list[str], request: pytest.FixtureRequest) -> None:
    """No wrong byte that check() did not report, no error without a kill, nothing left."""
    devices = gpus if len(gpus) > 1 else gpus * 2
    summary = Soak(devices, 10_000, request.config.option.plumbline_seed, Scale(), kills=6, delays=10).run()
    print(json.dumps(vars(summary)))
    assert not summary.findings
    assert (summary.killed_workers, summary.killed_ranks, summary.delays) == (4, 4, 10)
    assert summary.reads > 10_000
    assert all(summary.ways[way] for way in ("device", "host", "message")), summary.ways
    assert summary.fallbacks
