"""The optimized staging: one copy up for each byte, buffers that wait for their copies, downloads that readers wait for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from optimized.staging import SMALLEST, Download, StagingRing
from plumbline.sim import AT_ONCE, LATEST, Machine, SimPort

SCHEDULES = [LATEST, AT_ONCE, *range(1, 20)]


def payload(k: int, rows: int = 3) -> Tensor:
    return torch.arange(rows * 4, dtype=torch.float32).view(rows, 4) + 100 * k


@pytest.mark.parametrize("seed", SCHEDULES)
def test_many_uploads_arrive_whole_and_none_waits(seed: int) -> None:
    with Machine(seed) as machine:
        ring = StagingRing(SimPort())
        sent = [[payload(k), payload(k + 1, 5).t().contiguous().t(), payload(k + 2, 0)] for k in range(20)]
        arrived = [ring.upload(parts) for parts in sent]
        assert not machine.ledger.syncs
        assert machine.ledger.nbytes("h2d") == sum(part.nbytes for parts in sent for part in parts)
        assert len(machine.ledger.copies) == len(sent)
        machine.finish()
        for parts, there in zip(sent, arrived, strict=True):
            assert torch.equal(there.cpu(), torch.cat(parts))
        assert not machine.ledger.hazards


def test_with_every_buffer_on_its_way_the_rest_goes_up_without_one() -> None:
    with Machine(LATEST) as machine:
        ring = StagingRing(SimPort(), limit=4 * SMALLEST)
        for k in range(6):
            ring.upload([payload(k)])
        assert [copy.late for copy in machine.ledger.copies] == [True] * 4 + [False] * 2


def test_a_buffer_that_is_too_small_makes_room_for_one_that_is_not() -> None:
    with Machine(AT_ONCE) as machine:
        ring = StagingRing(SimPort(), limit=40 * SMALLEST)
        rows = [1, SMALLEST // 16 + 1, SMALLEST // 4, SMALLEST, 2 * SMALLEST]
        for k, count in enumerate(rows):
            there = ring.upload([payload(k, count)])
            assert torch.equal(there.cpu(), payload(k, count))
        assert all(copy.late for copy in machine.ledger.copies if copy.direction == "h2d")
        assert ring.held() <= ring.limit


@pytest.mark.parametrize("seed", SCHEDULES)
def test_a_download_is_read_after_its_copy(seed: int) -> None:
    with Machine(seed) as machine:
        port = SimPort()
        rows = [torch.full((k + 1, 4), float(k), device="sim:0") + 1 for k in range(6)]
        downloads = [Download(port, row) for row in rows]
        assert not machine.ledger.syncs
        del rows
        for k, download in enumerate(downloads):
            assert torch.equal(download.read(), torch.full((k + 1, 4), k + 1.0))
        assert downloads[0].ready()
        assert not machine.ledger.hazards
