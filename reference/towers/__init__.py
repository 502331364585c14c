"""Plain vision towers: the arithmetic, written to be read.

``load`` knows them by the ``model_type`` of ``config.json``. Qwen3-VL-MoE, Qwen3.5 and Qwen3.5-MoE have Qwen3-VL's tower
(the last two without deepstack): the classes of their towers in transformers 5.23 differ in nothing else.
"""

from plumbline.interface import BadCheckpoint, Checkpoint, DevicePort
from reference.towers.arithmetic import PlainTower
from reference.towers.checkpoint import read_json
from reference.towers.kimi_k25 import KimiK25Tower
from reference.towers.qwen2_5_vl import Qwen25VLTower
from reference.towers.qwen3_vl import Qwen3VLTower

FAMILIES: dict[str, type[PlainTower]] = {
    "qwen2_5_vl": Qwen25VLTower,
    "qwen3_vl": Qwen3VLTower,
    "qwen3_vl_moe": Qwen3VLTower,
    "qwen3_5": Qwen3VLTower,
    "qwen3_5_moe": Qwen3VLTower,
    "kimi_k25": KimiK25Tower,
}
"""By ``model_type`` of a whole model; that of its tower alone has "_vision" behind it."""


def load(checkpoint: Checkpoint, port: DevicePort) -> PlainTower:
    """The tower of a checkpoint, on the port's device: NUM-002, NUM-003. Raises BadCheckpoint."""
    raw = read_json(checkpoint.folder)
    kind = str(raw.get("model_type")).removesuffix("_vision")
    if kind not in FAMILIES:
        raise BadCheckpoint(f"model_type {kind}, not one of {', '.join(FAMILIES)}", where="config.json")
    return FAMILIES[kind](checkpoint, port.device)


__all__ = ["FAMILIES", "load"]
