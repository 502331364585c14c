"""Which code is the implementation's own, and where in it something happened."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path
from types import FrameType

_PATHS = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
_HERE = Path(__file__).resolve().parent
_FOREIGN = (*_PATHS, str(_HERE), str(_HERE.parent / "tests"), "<")
_own_files: dict[str, bool] = {}


def own_file(name: str) -> bool:
    """Whether a file is the implementation's: neither Python's, nor a package's, nor the harness's."""
    if name not in _own_files:
        _own_files[name] = not name.startswith(_FOREIGN) and not str(Path(name).resolve()).startswith(_FOREIGN)
    return _own_files[name]


def place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def called_at() -> str:
    """The innermost own line that is running now; empty if none is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not own_file(frame.f_code.co_filename):
        frame = frame.f_back
    return place(frame) if frame is not None else ""


def raised_at(error: BaseException) -> str:
    """The innermost own line that an error came through; empty if it came through none."""
    lines = traceback.walk_tb(error.__traceback__)
    own = [(frame.f_code.co_filename, line) for frame, line in lines if own_file(frame.f_code.co_filename)]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def told(error: BaseException) -> str:
    """An error in words, and where it came from."""
    at = raised_at(error)
    return f"{type(error).__name__}: {error}" + (f" (at {at})" if at else "")
