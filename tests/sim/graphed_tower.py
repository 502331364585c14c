"""A tower of a few operations around ``GraphCache``: small, exact, and with everything that can go wrong around a graph.

Each patch becomes a few integers, to which the sum over its attention segment is added. So any order of any sum gives the
same bits, and what differs is wrong. Calls are padded to powers of two; segments are data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from optimized.graphs import Body, GraphCache
from plumbline.interface import (
    Capability,
    Checkpoint,
    DevicePort,
    Encoded,
    Implementation,
    Layout,
    Modality,
    Packed,
    TowerSpec,
)

WEIGHT, SIDE_WEIGHT = "patch_embed.proj.weight", "blocks.0.mlp.linear_fc1.weight"
HIDDEN = 64


class GraphedTower:
    """row_floor: without effect, since sums are exact."""

    cache: type[GraphCache] = GraphCache
    row_floor = 1
    linear_shapes = ()

    def __init__(self, checkpoint: Checkpoint, port: DevicePort) -> None:
        self.port, self.device, self.epoch = port, port.device, 0
        places = {Modality.IMAGE: checkpoint.image_token_id, Modality.VIDEO: checkpoint.video_token_id}
        self.spec = TowerSpec(
            name="graphed",
            hidden_size=HIDDEN,
            side_levels=1,
            vocab_size=checkpoint.vocab_size,
            dtype=torch.float64,
            payload_dtypes=frozenset({torch.float32, torch.float64}),
            layouts={modality: Layout(at, (1536,), True, 2) for modality, at in places.items()},
        )
        self.weights = {name: port.move(value) for name, value in self.read(checkpoint.folder).items()}
        self.graphs = self.cache(port, limit=6) if self.device.type != "cpu" else None

    def read(self, folder: Path) -> Mapping[str, Tensor]:
        """Small integers, as float64."""
        stored = load_file(folder / "model.safetensors")
        return {name: (stored[name].flatten(1).double() * 64).round() for name in (WEIGHT, SIDE_WEIGHT)}

    def update(self, folder: Path, epoch: int) -> None:
        for name, value in self.read(folder).items():
            self.weights[name].copy_(self.port.move(value))
        self.epoch = epoch

    @torch.no_grad()
    def __call__(self, packed: Packed) -> Encoded:
        count = len(packed.patches)
        bucket = max(16, 1 << (count - 1).bit_length())
        room = self.room(bucket)
        room[:count].copy_(packed.patches)
        lengths = [*packed.cu_seqlens.diff().tolist(), bucket - count]
        numbers = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        rows, side = self.launch(bucket, self.body(packed), room, self.port.move(numbers))
        return Encoded(rows[: count // 4], (side[: count // 4],))

    def room(self, bucket: int) -> Tensor:
        return torch.zeros(bucket, 1536, dtype=torch.float64, device=self.device)

    def body(self, packed: Packed) -> Body:
        return self.forward

    def launch(self, bucket: int, body: Body, room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        return self.graphs(bucket, body, (room, numbers)) if self.graphs else body(room, numbers)

    def forward(self, room: Tensor, numbers: Tensor) -> tuple[Tensor, ...]:
        """room: float64 [bucket, 1536]. numbers: int64 [bucket], of each patch's segment. Two of [bucket / 4, HIDDEN]."""
        x = (room * 64).round() @ self.weights[WEIGHT].T
        x = x + (numbers[:, None] == numbers[None, :]).double() @ x
        rows = x.view(-1, 4, HIDDEN).sum(1)
        return rows, rows.remainder(1024) @ self.weights[SIDE_WEIGHT][:HIDDEN].T


implementation = Implementation(
    name="graphed", version="1", capabilities=frozenset({Capability.TOWERS, Capability.GRAPHS}), tower=GraphedTower
)
