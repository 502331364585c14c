"""Kimi-K2.5's tower and projector as one model of transformers, which has them only around a language model."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.kimi_k25.modeling_kimi_k25 import (
    Kimi_K25MultimodalProjection,
    Kimi_K25PreTrainedModel,
    Kimi_K25VisionModel,
)


class KimiK25Vision(Kimi_K25PreTrainedModel):  # type: ignore[misc]
    """The parts of ``Kimi_K25Model`` that make rows, under their names there, without the language model."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vision_tower = Kimi_K25VisionModel._from_config(config.vision_config)
        self.mm_projector = Kimi_K25MultimodalProjection(config)
        self.post_init()

    def forward(self, pixel_values: Tensor, grid_thw: Tensor, cu_seqlens: Tensor) -> BaseModelOutputWithPooling:
        """pooler_output: the rows of all clips, [R, text hidden size]."""
        rows, at = [], 0
        for _, run in groupby(grid_thw, key=lambda grid: int(grid[0])):
            grids = torch.stack(list(run))
            end = at + int(grids.prod(1).sum())
            inside = cu_seqlens[(cu_seqlens >= at) & (cu_seqlens <= end)] - at
            found = self.vision_tower(pixel_values[at:end], grid_thw=grids, cu_seqlens=inside).pooler_output
            rows.append(self.mm_projector(found).squeeze(1))
            at = end
        return BaseModelOutputWithPooling(pooler_output=torch.cat(rows))


# Published weights have other names; transformers renames them for its own classes only, unless it is told to.
register_checkpoint_conversion_mapping(
    KimiK25Vision.__name__, get_checkpoint_conversion_mapping("kimi_k25"), overwrite=True
)
