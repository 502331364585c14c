"""A tower on a GPU that is not the current one, in a process of its own: pytest's has no context on any."""

from __future__ import annotations

from pathlib import Path

from plumbline.child_tests import run_inside


def test_in_its_own_process(second: str) -> None:
    run_inside(Path(__file__).with_name("inside_second_device.py"))
