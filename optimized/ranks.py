"""Data-parallel encoding: each rank encodes its share of the items, and all get the rows of all, or the same errors.

Who encodes what follows from the items alone, so that ranks need not talk about it; what became of it is agreed on the
host before rows travel. So a rank is in every collective, whatever it has to do and whatever happened to it.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from plumbline.interface import (
    Encoded,
    Encoder,
    EncodingFailed,
    Item,
    LeaseLost,
    PayloadMissing,
    PlumblineError,
    Ranks,
    RanksLost,
    Runtime,
    Source,
)

T = TypeVar("T")
Outcome = int | PlumblineError
"""A number that is not negative, or why there is none."""

KINDS = {kind.__name__: kind for kind in (EncodingFailed, LeaseLost, PayloadMissing, PlumblineError)}
"""What may have become of an item, by name; a peer can make nothing else of a text. Others travel as their nearest here."""

WORD = 8
LONGEST = 800
"""Characters of an error's text that travel."""
EVEN = 4096
"""Patches of a segment at which attention takes about as long as everything else, in towers of 1,152 channels: 6,600 by
operations, fewer because attention gets less of a device's peak than matrix products do."""


class Peers:
    """Implements ``Ranks``: the ranks of an engine, until anything fails on this one while they work together.

    It may have left a collective that the others are still in, and they would take the next one that it entered for that.
    So it enters no more: all that needs the others raises RanksLost from then on, and they give up after their time limit.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.rank, self.size = ranks.rank, ranks.size
        self._ranks = ranks
        self._lost: RanksLost | None = None

    def agree(self, words: Tensor) -> Tensor:
        return self.together(lambda: self._ranks.agree(words))

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        return self.together(lambda: self._ranks.gather(rows, counts))

    def together(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, which all ranks do. Raises RanksLost, now and from then on, whatever it raises."""
        if self._lost is None:
            try:
                return work()
            except Exception as error:
                self.lose(error)
        assert self._lost is not None
        raise self._lost.with_traceback(None)

    def lose(self, error: Exception) -> None:
        """Because of what happened on this rank. Keeps its text and no frame, which would keep rows alive."""
        if isinstance(error, RanksLost):
            self._lost = error
            return
        self._lost = RanksLost(f"{type(error).__name__}: {error}", where=f"rank {self.rank}")
        self._lost.add_note("".join(traceback.format_exception(error)))


def peers_of(runtime: Runtime) -> Peers | None:
    """None where there is nobody to share with."""
    return None if runtime.ranks is None or runtime.ranks.size == 1 else Peers(runtime.ranks)


class SharedEncoder:
    """``encode`` is a collective. It enters one agreement, one more if an item failed, and one gathering if there are rows."""

    def __init__(self, runtime: Runtime, local: Encoder, ranks: Peers) -> None:
        self.spec = runtime.spec
        self.local = local
        self.ranks = ranks
        self.nothing = torch.empty((0, self.spec.hidden_size), dtype=self.spec.dtype, device=runtime.port.device)

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        owners = self.owners(items)
        mine = [index for index, owner in enumerate(owners) if owner == self.ranks.rank]
        results, block = self.encoded([items[index] for index in mine])
        try:
            return self.ranks.together(lambda: self.exchanged(owners, mine, results, block))
        except RanksLost as lost:
            return [lost.with_traceback(None)] * len(items)

    def exchanged(
        self, owners: Sequence[int], mine: Sequence[int], results: Sequence[Encoded | PlumblineError], block: Tensor
    ) -> list[Encoded | PlumblineError]:
        """The results of all items, from this rank's of ``mine`` and the rows of those. Whatever it raises, ranks are lost."""
        outcomes: list[Outcome] = [0] * len(owners)
        for index, result in zip(mine, results, strict=True):
            outcomes[index] = result if isinstance(result, PlumblineError) else len(result.rows)
        by_rank = agree(self.ranks, outcomes)
        agreed = [by_rank[owner][index] for index, owner in enumerate(owners)]
        blocks = self.gathered(block, agreed, owners)
        for index, result in zip(mine, results, strict=True):
            if isinstance(result, PlumblineError):
                agreed[index].__cause__ = result  # type: ignore[union-attr]
        return self.split(agreed, owners, blocks)

    # ------------------------------------------------------------------------------------------------- who does what

    def owners(self, items: Sequence[Item]) -> list[int]:
        """By item, the rank that encodes it: the most costly first, each to whom has the least to do."""
        costs = [self.cost(item) for item in items]
        loads, owners = [0] * self.ranks.size, [0] * len(items)
        for index in sorted(range(len(items)), key=lambda index: (-costs[index], index)):
            owners[index] = loads.index(min(loads))
            loads[owners[index]] += costs[index]
        return owners

    def cost(self, item: Item) -> int:
        """Of what all ranks know alike: never of the payload, which may lie elsewhere, or be gone, on another rank."""
        rows = sum(hi - lo for lo, hi in item.spans)
        if item.source is Source.PRECOMPUTED:
            return rows
        if item.grid_thw is None:
            return rows * EVEN
        frames, height, width = item.grid_thw.tolist()[0]
        patches: int = frames * height * width
        segment = patches if self.spec.layouts[item.modality].pools_frames else height * width
        return patches * (EVEN + segment)

    # -------------------------------------------------------------------------------------------------- what this one does

    def encoded(self, items: Sequence[Item]) -> tuple[list[Encoded | PlumblineError], Tensor]:
        """Results of this rank's items, and their rows in one block. Never raises, since the others wait."""
        try:
            results = self.local.encode(items) if items else []
            if len(results) != len(items):
                raise EncodingFailed(f"{len(results)} results for {len(items)} items")
            return results, self.block(results)
        except Exception as error:
            failed = EncodingFailed(f"encoding raised {type(error).__name__}: {error}")
            failed.add_note(traceback.format_exc())
            return [failed] * len(items), self.nothing

    def block(self, results: Sequence[Encoded | PlumblineError]) -> Tensor:
        """[(1 + side levels) * R, hidden_size]: the rows of all, then those of each side level. Raises EncodingFailed."""
        good = [(one.rows, *one.side) for one in results if isinstance(one, Encoded)]
        levels = 1 + self.spec.side_levels
        if any(len(parts) != levels or len({part.shape for part in parts}) > 1 for parts in good):
            raise EncodingFailed(f"main rows and side rows are not {levels} tensors of one shape")
        if any(part.dtype != self.spec.dtype for parts in good for part in parts):
            raise EncodingFailed(f"rows of another dtype than {self.spec.dtype}")
        return torch.cat([self.nothing, *(part for level in zip(*good, strict=True) for part in level)])

    # ---------------------------------------------------------------------------------------------------- what all get

    def gathered(self, block: Tensor, agreed: Sequence[Outcome], owners: Sequence[int]) -> list[Tensor]:
        """By rank, its block."""
        counts = [0] * self.ranks.size
        for outcome, owner in zip(agreed, owners, strict=True):
            counts[owner] += outcome * (1 + self.spec.side_levels) if isinstance(outcome, int) else 0
        return self.ranks.gather(block, counts) if any(counts) else [self.nothing] * self.ranks.size

    def split(
        self, agreed: Sequence[Outcome], owners: Sequence[int], blocks: Sequence[Tensor]
    ) -> list[Encoded | PlumblineError]:
        """Each item's rows, as views of its rank's block, or its error."""
        results: dict[int, Encoded | PlumblineError] = {}
        counts: list[dict[int, int]] = [{} for _ in blocks]
        for index, outcome in enumerate(agreed):
            if isinstance(outcome, PlumblineError):
                results[index] = outcome
            else:
                counts[owners[index]][index] = outcome
        for block, rows in zip(blocks, counts, strict=True):
            levels = block.view(1 + self.spec.side_levels, sum(rows.values()), self.spec.hidden_size)
            pieces = zip(*(torch.split(level, list(rows.values())) for level in levels), strict=True)
            results.update(
                (index, Encoded(main, tuple(side))) for index, (main, *side) in zip(rows, pieces, strict=False)
            )
        return [results[index] for index in range(len(agreed))]


# ----------------------------------------------------------------------------------------------------------- agreeing


def agree(ranks: Ranks, outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """By rank, its outcomes of the same things; an error has the same class and text on all ranks, and names its rank.

    A first agreement says how long the texts are, and a second one, only if there are any, what they are.
    """
    texts = [packed(one, ranks.rank) if isinstance(one, PlumblineError) else b"" for one in outcomes]
    numbers = [-len(text) // WORD if text else one for text, one in zip(texts, outcomes, strict=True)]
    agreed: list[list[int]] = ranks.agree(torch.tensor(numbers, dtype=torch.int64)).tolist()
    longest = max(-sum(number for number in row if number < 0) for row in agreed)
    if not longest:
        return [list(row) for row in agreed]
    own = bytearray(b"".join(texts).ljust(longest * WORD))
    rows = ranks.agree(torch.frombuffer(own, dtype=torch.int64))
    return [unpacked(row, text.numpy().tobytes()) for row, text in zip(agreed, rows, strict=True)]


def agree_on_errors(ranks: Peers | None, errors: Sequence[PlumblineError | None]) -> list[PlumblineError | None]:
    """For each thing the first rank's error that has one; None where no rank has. Without things nobody is asked."""
    if not errors or ranks is None:
        return list(errors)
    try:
        by_rank = ranks.together(lambda: agree(ranks, [error or 0 for error in errors]))
    except RanksLost as lost:
        return [lost.with_traceback(None)] * len(errors)
    return [next((one for one in said if isinstance(one, PlumblineError)), None) for said in zip(*by_rank, strict=True)]


def packed(error: PlumblineError, rank: int) -> bytes:
    """Whole words of JSON, which may end with blanks."""
    kind = next(one for one in type(error).__mro__ if one in KINDS.values())
    where = f"rank {rank}, {error.where}" if error.where else f"rank {rank}"
    text = json.dumps([kind.__name__, error.what[:LONGEST], where[:LONGEST], error.hint[:LONGEST]]).encode()
    return text.ljust(-len(text) // WORD * -WORD)


def unpacked(numbers: Sequence[int], texts: bytes) -> list[Outcome]:
    """One rank's outcomes: ``texts`` holds those of its errors, one after another."""
    outcomes: list[Outcome] = []
    at = 0
    for number in numbers:
        if number < 0:
            name, what, where, hint = json.loads(texts[at : at - number * WORD])
            outcomes.append(KINDS[name](what, where=where, hint=hint))
            at -= number * WORD
        else:
            outcomes.append(number)
    return outcomes
