"""Captures one workload of the harness's engine: python -m docs.examples.capture_workload SPEC FILE"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from plumbline.capture import Capture
from plumbline.capture_wrap import captured
from plumbline.explore import check
from plumbline.resolve import resolve
from plumbline.scenario import Content, ExtraRecipe, GivenRecipe, ItemRecipe, Op, RequestRecipe, Scenario, TowerRecipe

CAT = ItemRecipe(grid=(1, 4, 6), parts=(24,), dtype="bfloat16", content=Content(1))
DOG = ItemRecipe(grid=(1, 4, 6), parts=(24,), dtype="bfloat16", content=Content(2))
CLIP = ItemRecipe("video", grid=(2, 4, 4), parts=(32,), dtype="bfloat16", content=Content(3))
TIMED = ItemRecipe("video", grid=(2, 4, 4), parts=(32,), content=Content(3), extras=(ExtraRecipe("fps", 2),))
KEYED = ItemRecipe(grid=(1, 4, 6), parts=(24,), content=Content(4), given=GivenRecipe("shop", "banner.png", True))

SCENARIO = Scenario(
    tower=TowerRecipe(merge=2, side_levels=1, row_dtype="bfloat16"),
    requests=(
        RequestRecipe("chat", (CAT, CLIP), gaps=(4, 1), copies=2),
        RequestRecipe("again", (DOG, CAT), gaps=(4, 2)),
        RequestRecipe("shop", (KEYED, TIMED), gaps=(3,)),
        RequestRecipe("text", (), gaps=(9,)),
    ),
    chunks=(7, 4, 9),
    running=3,
    cache_rows=14,
    prefix_cache=True,
    ops=(Op(2, "retract", 1), Op(4, "epoch", 1), Op(6, "abort", 2)),
)


def main(spec: str, file: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        capture = Capture(folder)
        check(SCENARIO, captured(resolve(spec).implementation, capture))
        capture.close()
        (written,) = Path(folder).iterdir()
        Path(file).write_bytes(written.read_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
