"""BLAKE3 on a device, in Triton's interpreter: the same kernel on the CPU, in a process that was told so from the start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from optimized import identify
from plumbline.parts import identity_of, image, item_of, rig_of
from plumbline.requirements import ROOT
from plumbline.resolve import resolve


def test_in_a_process_of_the_interpreter() -> None:
    pytest.importorskip("triton", reason="published for Linux only")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"TRITON_INTERPRET": "1"}
    command = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/identity/inside_interpreter.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


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
