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

from torch import Tensor

import optimized
from optimized.embed import Embedder
from optimized.ranks import SharedEncoder
from plumbline.interface import Encoded, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("RANK-003", "ENC-006", "ISO-001")


LONGEST = 800
"""Bytes of a field."""


class CutErrors(SharedEncoder):
    def exchanged(
        self, owners: Sequence[int], mine: Sequence[int], results: Sequence[Encoded | PlumblineError], block: Tensor
    ) -> list[Encoded | PlumblineError]:
        agreed = super().exchanged(owners, mine, results, block)
        for one in agreed:
            if isinstance(one, PlumblineError):
                one.what.encode("utf-8", "replace")[:LONGEST].decode()  # on every rank
        return agreed


class CutEmbedder(Embedder):
    sharing = CutErrors


implementation = dataclasses.replace(
    optimized.implementation, name="mutant error_cut_inside_a_character", embed=CutEmbedder
)
