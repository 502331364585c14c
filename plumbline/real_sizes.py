"""The sizes of released vision towers, for checkpoints of these sizes with made-up weights, and for counting their work.

with torch.device("cuda"):                            # a minute's work for a CPU
    folder = checkpoint(tmp_path, family="qwen3_vl", **SIZES["qwen3_vl"])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    "qwen3_vl": {  # of Qwen3-VL-8B
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 4096,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    "qwen2_5_vl": {  # of Qwen2.5-VL-7B
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "out_hidden_size": 3584,
    },
    "kimi_k25": {
        "num_hidden_layers": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "pos_emb_height": 64,
        "pos_emb_width": 64,
        "pos_emb_time": 4,
        "text_hidden_size": 7168,
    },
}
MERGED = 4
"""Patches of a row, in all of them."""

Grid = tuple[int, int, int]
Linear = tuple[int, tuple[int, int], int]
"""Patches of a row of its input, (outputs, inputs), and how many of it there are."""


@dataclass(frozen=True)
class Work:
    """What a tower has to compute."""

    family: str

    @property
    def hidden(self) -> int:
        size: int = SIZES[self.family]["hidden_size"]
        return size

    @property
    def heads(self) -> int:
        return 16

    @property
    def layers(self) -> int:
        sizes = SIZES[self.family]
        layers: int = sizes.get("depth") or sizes["num_hidden_layers"]
        return layers

    @property
    def window_layers(self) -> int:
        return self.layers - len(SIZES[self.family].get("fullatt_block_indexes", range(self.layers)))

    def linears(self) -> Iterator[Linear]:
        """Those of the layers and mergers."""
        sizes, hidden, inner = SIZES[self.family], self.hidden, SIZES[self.family]["intermediate_size"]
        gated = self.family == "qwen2_5_vl"
        yield 1, (3 * hidden, hidden), self.layers
        yield 1, (hidden, hidden), self.layers
        yield 1, (inner * (2 if gated else 1), hidden), self.layers
        yield 1, (hidden, inner), self.layers
        mergers = 1 + len(sizes.get("deepstack_visual_indexes", ()))
        out = sizes.get("out_hidden_size") or sizes["text_hidden_size"]
        yield MERGED, (MERGED * hidden, MERGED * hidden), mergers
        yield MERGED, (out, MERGED * hidden), mergers

    def windows(self, grid: Grid) -> list[int]:
        """Patches of the windows of an image, for layers that look no further."""
        frames, height, width = grid
        side = SIZES[self.family].get("window_size", 0) // 14
        if not side:
            return []
        cut = [[min(side, size - at) for at in range(0, size, side)] for size in (height, width)]
        return [h * w for _ in range(frames) for h in cut[0] for w in cut[1]]
