"""SGLang #26759: for towers that bring pixels to the device themselves the move before them was left out, in one place for all
that passes there, and what else took its device from the payload went on with the host's. Here the encoder moves nothing for a
tower with ``moves_input``; but precomputed rows, which no such tower ever sees, went the same way.

Shows with a tower that moves its input and a precomputed item whose payload is a host tensor (one that came in the message, or
was never published): its rows stay on the host, and the port was not asked. Where the port's device is the CPU and nobody counts
its moves, it does not show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-012",)


class Encoder(PackingEncoder):
    def moved(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """On the port's device; left to a tower that moves its input, which needs one copy fewer."""
        return list(parts) if self.spec.moves_input else super().moved(parts)


implementation = dataclasses.replace(optimized.implementation, name="mutant skipped_move_for_all", encoder=Encoder)
