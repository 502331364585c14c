"""BLAKE3 on a device, in Triton's interpreter: the same kernel on the CPU, in a process that was told so from the start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from optimized import identify
from plumbline.child_tests import run_inside
from plumbline.parts import identity_of, image, item_of, rig_of
from plumbline.resolve import resolve


def test_in_a_process_of_the_interpreter() -> None:
    pytest.importorskip("triton", reason="published for Linux only")
    run_inside(Path(__file__).with_name("inside_interpreter.py"), TRITON_INTERPRET="1")


def test_without_triton_the_bytes_go_through_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's tensor is stood for by one of the host, which comes to the same place."""
    rig, item = rig_of(resolve("optimized").implementation), item_of(image(1))
    plain = identity_of(rig, item)
    asked = []

    def there(item: object) -> list[torch.Tensor]:
        asked.append(item)
        return [item.payload]

    monkeypatch.setattr(identify, "on_cuda", there)
    monkeypatch.setitem(sys.modules, "optimized.blake3_triton", None)
    assert identity_of(rig, item) == plain
    assert asked
