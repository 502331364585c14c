"""How far fast towers on a GPU are from exact ones, in a process of its own: pytest's has no context on any."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.child_tests import run_inside


@pytest.mark.requirement("NUM-006")
def test_in_its_own_process() -> None:
    run_inside(Path(__file__).with_name("inside_distances.py"))
