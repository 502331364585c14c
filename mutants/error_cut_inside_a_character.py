"""opencog/link-grammar #1530 (merged): as many bytes as a buffer has are read and decoded, and the cut may go through a
character. mmsegmentation #3204: ranks agree on a text as a tensor of a fixed number of bytes (``tobytes().decode()`` in
mmengine's collect_results), and a UnicodeDecodeError on the ranks ends the job.

Carried over: what an error says travels to the other ranks as UTF-8, each field cut to 800 bytes, and is decoded there.
A text that is long enough and has characters of several bytes is cut through one of them. Every rank, the one whose
error it is included, fails to decode what was agreed, which is no error of an item but one of what ranks do together:
the ranks are lost.

Shows with ranks, and a tower that raises on one item with a long text in Chinese (a path, a prompt, a library's
message). In two of three lengths all items of the step fail with RanksLost, those of other requests too, and so does
all that comes later.

Breaks RANK-003 (the same requests and no others, same class and text), ENC-006, ISO-001.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import KINDS, WORD, Outcome, SharedEncoder
from plumbline.interface import Encoded, PlumblineError, Ranks

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003", "ENC-006", "ISO-001")


LONGEST = 800
"""Bytes of a field."""


def packed(error: PlumblineError, rank: int) -> bytes:
    kind = next(one for one in type(error).__mro__ if one in KINDS.values())
    where = f"rank {rank}, {error.where}" if error.where else f"rank {rank}"
    fields = (kind.__name__, error.what, where, error.hint)
    text = b"\0".join(one.encode("utf-8", "replace").replace(b"\0", b" ")[:LONGEST] for one in fields)
    return text.ljust(-len(text) // WORD * -WORD)


def unpacked(numbers: Sequence[int], texts: bytes) -> list[Outcome]:
    outcomes: list[Outcome] = []
    at = 0
    for number in numbers:
        if number < 0:
            name, what, where, hint = texts[at : at - number * WORD].decode().split("\0")
            outcomes.append(KINDS[name](what, where=where, hint=hint.rstrip(" ")))
            at -= number * WORD
        else:
            outcomes.append(number)
    return outcomes


def agree(ranks: Ranks, outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    texts = [packed(one, ranks.rank) if isinstance(one, PlumblineError) else b"" for one in outcomes]
    numbers = [-len(text) // WORD if text else one for text, one in zip(texts, outcomes, strict=True)]
    agreed: list[list[int]] = ranks.agree(torch.tensor(numbers, dtype=torch.int64)).tolist()
    longest = max(-sum(number for number in row if number < 0) for row in agreed)
    if not longest:
        return [list(row) for row in agreed]
    own = bytearray(b"".join(texts).ljust(longest * WORD))
    rows = ranks.agree(torch.frombuffer(own, dtype=torch.int64))
    return [unpacked(row, text.numpy().tobytes()) for row, text in zip(agreed, rows, strict=True)]


class DraftSharedEncoder(SharedEncoder):
    def exchanged(
        self, owners: Sequence[int], mine: Sequence[int], results: Sequence[Encoded | PlumblineError], block: Tensor
    ) -> list[Encoded | PlumblineError]:
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


class DraftEmbedder(Embedder):
    sharing = DraftSharedEncoder


implementation = dataclasses.replace(
    optimized.implementation, name="mutant error_cut_inside_a_character", embed=DraftEmbedder
)
