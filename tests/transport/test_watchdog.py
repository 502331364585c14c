"""The watchdog of optimized's ranks lets its process end, in good order, whatever it still waits for."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import threading
import time

import torch
from optimized.transport import watchdog

watchdog.INTERVAL = 0  # so that it is found looking, not asleep

class Never:
    ready = torch.zeros(4, dtype=torch.int64)

    def orphaned(self):
        return False

dogs = [watchdog.Watchdog() for _ in range(64)]
for dog in dogs * 20:
    dog.watch(Never(), 1, 7)
time.sleep(0.5)
assert not any(thread.daemon for thread in threading.enumerate())
"""


def test_a_process_ends_while_its_watchdog_waits() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
