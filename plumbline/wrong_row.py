"""The first wrong row of a result, and whose it is: the reverse index of a scenario, and what it says in words."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from plumbline import closed_form
from plumbline.bench import RowOf, WrongRow, expected_rows
from plumbline.scenario import Scenario
from plumbline.trace import Scheduled, StepRecord


def first_wrong(scenario: Scenario, s: Scheduled, got: Tensor, level: int, record: StepRecord) -> WrongRow | None:
    """got: [n, hidden] bit patterns, as many as the chunk has placeholders. None if they are right."""
    assert s.entry
    tower, submission = scenario.tower, s.entry.submission
    owner = closed_form.lay_out(tower, submission.recipe).owner
    cells = [(p, *at) for p in range(s.chunk.lo, s.chunk.hi) if (at := owner[p]) is not None]
    pieces = [expected_rows(tower, submission.recipe.items[i], record.epoch, level)[row] for _, i, row in cells]
    if not pieces or torch.equal(got, torch.stack(pieces)):
        return None
    k = int((got != torch.stack(pieces)).any(1).nonzero()[0])
    position, item, row = cells[k]
    wanted = RowOf(submission.index, item, row, level, record.epoch)
    found = whose(got[k], scenario, wanted)
    return WrongRow(record.number, s.chunk.request_id, position, wanted, found, zeros=not got[k].any())


def whose(bits: Tensor, scenario: Scenario, wanted: RowOf) -> RowOf | None:
    """The reverse index: the item's row that has these bits, the nearest one to what was ``wanted`` if several have."""
    for request, item, epoch, level in _by_nearness(scenario, wanted):
        rows = expected_rows(scenario.tower, scenario.requests[request].items[item], epoch, level)
        same = (rows == bits).all(1).nonzero() if len(rows) else rows
        if len(same):
            return RowOf(request, item, int(same[0]), level, epoch)
    return None


def _by_nearness(scenario: Scenario, wanted: RowOf) -> Iterator[tuple[int, int, int, int]]:
    """(request, item, epoch, level): as wanted before other epochs and levels, and the same item before the same request."""
    items = [(r, i) for r, request in enumerate(scenario.requests) for i in range(len(request.items))]
    items.sort(key=lambda at: (at != (wanted.request, wanted.item), at[0] != wanted.request))
    ways = [(epoch, level) for epoch in {0, *scenario.epochs} for level in range(1 + scenario.tower.side_levels)]
    ways.sort(key=lambda way: (way[0] != wanted.epoch) + (way[1] != wanted.level))
    for epoch, level in ways:
        for request, item in items:
            yield request, item, epoch, level


def told(wrong: WrongRow, scenario: Scenario) -> str:
    """In words. Items are numbered as in the scenario."""
    wanted, found = wrong.wanted, wrong.found
    level = f", side level {wanted.level}" if wanted.level else ""
    start = f"position {wrong.position} must hold row {wanted.row} of item {wanted.item}{level}, and holds "
    if found is None:
        return start + ("zeros, which are no item's row" if wrong.zeros else "no item's row")
    notes = [f"of side level {found.level}" if found.level else "of the main rows"] * (found.level != wanted.level)
    notes += [f"of epoch {found.epoch}"] * (found.epoch != wanted.epoch)
    place = f"row {found.row} of item {found.item} of request {scenario.requests[found.request].name}"
    return start + place + (f" ({', '.join(notes)})" if notes else "")
