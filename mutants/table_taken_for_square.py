"""pytorch-image-models #2317 (merged), dinov2 #506 (open): what resamples stored positions takes the stored grid for a square,
the root of its number of places, though it is known to be none.

Carried over to Kimi-K2.5, whose table has a height and a width of its own, as somebody might who shares the code with Qwen3-VL,
where only a square can be stored. Shows where the two differ: a good checkpoint is refused (BadCheckpoint) if the places are no
square number, such as 4 x 6; if they are, such as 2 x 8 or 4 x 16, the table is read in another shape, and rows are wrong.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import optimized
from optimized import towers
from optimized.towers.checkpoint import read_config, require
from optimized.towers.kept_grids import KeptGrids
from optimized.towers.kimi_k25 import Config, KimiK25Tower, Weights, grid
from optimized.towers.weights import Read
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-002", "NUM-003")


def side(config: Config) -> int:
    return math.isqrt(config.pos_emb_height * config.pos_emb_width)


class SquareTable(KimiK25Tower):
    def __init__(self, checkpoint: Checkpoint, port: DevicePort, raw: Mapping[str, Any]) -> None:
        super().__init__(checkpoint, port, raw)
        square = self.config._replace(pos_emb_height=side(self.config), pos_emb_width=side(self.config))
        self.records = self.records._replace(grid=KeptGrids(partial(grid, square)))

    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        config = KimiK25Tower.config_of(raw)
        places = config.pos_emb_height * config.pos_emb_width
        require({"places of position_embeddings must be a square": side(config) ** 2 == places})
        return config

    def weights_of(self, read: Read) -> Weights:
        weights = super().weights_of(read)
        return weights._replace(table=weights.table.reshape(side(self.config), side(self.config), -1))


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    if str(raw.get("model_type")).removesuffix("_vision") == "kimi_k25":
        return SquareTable(checkpoint, port, raw)
    return towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant table_taken_for_square", tower=load)
