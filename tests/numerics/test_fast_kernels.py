"""The fast towers' kernels, in Triton's interpreter: the same ones on the CPU, in a process that was told so from the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from plumbline.child_tests import run_inside


def test_in_a_process_of_the_interpreter() -> None:
    pytest.importorskip("triton", reason="published for Linux only")
    run_inside(Path(__file__).with_name("inside_interpreter.py"), TRITON_INTERPRET="1")
