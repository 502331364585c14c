"""A vision tower of another library runs on the simulated device, bit for bit as on the CPU, and its waits are counted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from plumbline.sim import AT_ONCE, LATEST, Machine

configuration = pytest.importorskip("transformers.models.qwen3_vl.configuration_qwen3_vl")
modeling = pytest.importorskip("transformers.models.qwen3_vl.modeling_qwen3_vl")


def rows(result: object) -> Tensor:
    pooled = result.pooler_output  # type: ignore[attr-defined]
    return pooled if isinstance(pooled, Tensor) else torch.cat(list(pooled))


@torch.no_grad()
@pytest.mark.parametrize("seed", [LATEST, AT_ONCE, 4])
def test_it_gives_the_cpu_s_bits(seed: int) -> None:
    torch.manual_seed(0)
    sizes = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 32}
    config = configuration.Qwen3VLVisionConfig(**sizes, deepstack_visual_indexes=[0], num_position_embeddings=64)
    tower = modeling.Qwen3VLVisionModel(config).eval()
    grids, patches = torch.tensor([[1, 8, 8], [1, 4, 8]]), torch.randn(96, 3 * 2 * 16 * 16)
    alone = rows(tower(patches, grids))
    with Machine(seed) as machine:
        there = rows(tower.to("sim:0")(patches.to("sim:0"), grids.to("sim:0")))
        assert there.device == torch.device("sim:0")
        assert torch.equal(there.cpu(), alone)
        assert "_local_scalar_dense" in machine.ledger.syncs
