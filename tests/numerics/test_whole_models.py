"""The configuration of a whole model says much that is not the tower's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plumbline.judge_tower import tower_of
from plumbline.parts import loads
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.towers import all_same_bits, call_of

pytestmark = pytest.mark.usefixtures("single_thread")

LANGUAGE = {
    "hidden_act": "relu",
    "intermediate_size": 90,
    "num_attention_heads": 9,
    "num_hidden_layers": 9,
    "rms_norm_eps": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "rope_theta": 1e6,
}
"""Under names that a tower's own configuration has too, or could have."""
SAID: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "at the top": lambda raw: raw | LANGUAGE | {"hidden_size": 90},
    "in its part": lambda raw: raw | {"text_config": LANGUAGE | raw.get("text_config", {})},
    "dtype": lambda raw: raw | {"dtype": "bfloat16", "vision_config": raw["vision_config"] | {"dtype": "bfloat16"}},
    "torch_dtype": lambda raw: raw | {"torch_dtype": "float16"},
}


@pytest.mark.requirement("NUM-009")
@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_said_of_another_part_changes_no_tower(
    subject: Subject, family: str, said: str, tmp_path: Path
) -> None:
    """Loaded from there, and updated."""
    loads(subject, family, tmp_path / "each")
    plain, told = (checkpoint(tmp_path / name, FAMILIES[family].prefix, family) for name in ("plain", "told"))
    path = told / "config.json"
    path.write_text(json.dumps(SAID[said](json.loads(path.read_text()))))
    tower, other = (tower_of(subject.implementation, folder, HostPort()) for folder in (plain, told))
    call = call_of(tower, (1, 4, 6), (3, 4, 4))
    wanted = tower(call)
    assert all_same_bits(other(call), wanted)
    tower.update(told, 1)
    assert all_same_bits(tower(call), wanted), "updated"
