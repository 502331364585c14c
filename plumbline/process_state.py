"""Settings that all code of a process shares, so that whoever changes one changes what others compute.

before = now(); ...; restored(before)       # names of those that changed; as before again, where they can be
"""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """put: gives it back the value that ``get`` gave."""

    get: Callable[[], Any]
    put: Callable[[Any], object]


def _flushes() -> bool:
    """Whether numbers below the normal ones count as zero."""
    return not bool((torch.tensor([1e-42], dtype=torch.float32, device="cpu") * 1.0).any())


def _put_environment(before: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)


def _put_device(before: torch.device) -> None:
    torch.set_default_device(None if before.type == "cpu" else before)


def _precision() -> str:
    """Torch refuses to say where it was asked for by both of its ways."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "by both ways"


def _put_torch_random(before: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(before), dtype=torch.uint8))


def _numpy_random() -> tuple[bytes, int]:
    state: Any = np.random.get_state()
    return state[1].tobytes(), state[2]


def _put_numpy_random(before: tuple[bytes, int]) -> None:
    np.random.set_state(("MT19937", np.frombuffer(before[0], dtype=np.uint32), before[1], 0, 0.0))


def _handler(number: int) -> Setting:
    def put(handler: Any) -> None:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(number, handler)

    return Setting(lambda: signal.getsignal(number), put)


SETTINGS = {
    "default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "default device": Setting(torch.get_default_device, _put_device),
    "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "inference mode": Setting(torch.is_inference_mode_enabled, lambda _: None),
    "threads of torch": Setting(torch.get_num_threads, torch.set_num_threads),
    "determinism": Setting(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "precision of products": Setting(_precision, torch.set_float32_matmul_precision),
    "small numbers": Setting(_flushes, torch.set_flush_denormal),
    "random numbers of torch": Setting(lambda: torch.get_rng_state().numpy().tobytes(), _put_torch_random),
    "random numbers of Python": Setting(random.getstate, random.setstate),
    "random numbers of numpy": Setting(_numpy_random, _put_numpy_random),
    "garbage collection": Setting(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    "environment": Setting(lambda: dict(os.environ), _put_environment),
    "folder": Setting(os.getcwd, os.chdir),
    "SIGINT": _handler(signal.SIGINT),
    "SIGTERM": _handler(signal.SIGTERM),
    "SIGCHLD": _handler(signal.SIGCHLD),
}

ARITHMETIC = ("default dtype", "default device", "gradients", "determinism", "precision of products", "small numbers")
"""Those that no test of an implementation changes by itself."""

RANDOM = ("random numbers of Python", "random numbers of numpy")

State = dict[str, Any]


def now(names: Iterable[str] = tuple(SETTINGS)) -> State:
    return {name: SETTINGS[name].get() for name in names}


def restored(before: State) -> list[str]:
    """Names of what is no longer as it was ``before``, and is again after this, if it can be."""
    changed = [name for name, value in before.items() if SETTINGS[name].get() != value]
    for name in changed:
        SETTINGS[name].put(before[name])
    return changed
