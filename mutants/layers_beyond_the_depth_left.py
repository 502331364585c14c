"""vLLM #8155 and #10291 (merged; CLIP and SigLIP: only the layers up to the deepest that is needed are built, and weights
of the layers behind it are skipped by their number while loading), #33370.

Carried over: of a checkpoint with more layers, or more deepstack mergers, than the configuration names, those of higher
numbers are skipped, since an encoder that is cut short needs no more. A configuration that says too little (a trainer's
that cut the tower for a test, or one that lost ``deepstack_visual_indexes``, whose default is none) is so taken for a
smaller tower.

Shows with a folder of Qwen3-VL or Qwen2.5-VL with the weights of layer ``depth``, or of a deepstack merger beyond the
list; other unexpected names are refused as they must be. Breaks NUM-007 ("or has one that its tower has no place for,
is refused with BadCheckpoint"), loaded or updated.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optimized
from mutants.shared.towers import with_stored
from optimized.towers import checkpoint
from optimized.towers.checkpoint import Stored, files_of

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-007", "EPOCH-004")

NUMBERED = re.compile(r"(?:blocks|deepstack_merger_list)\.\d+\.")


class UpToTheDeepest(Stored):
    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]], roots: tuple[str, ...]) -> None:
        known = {match[0] for name in shapes if (match := NUMBERED.search(name))}

        def shallow(folder: Path) -> dict[str, Any]:
            every = files_of(folder)
            return {n: file for n, file in every.items() if not (match := NUMBERED.search(n)) or match[0] in known}

        with patch.object(checkpoint, "files_of", shallow):
            super().__init__(folder, shapes, roots)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant layers_beyond_the_depth_left", tower=with_stored(UpToTheDeepest)
)
