"""About real GPUs: ``python -m pytest tests/gpu``, on as many as there are, up to four; without one, everything fails.

Other runs do not collect this folder. One process for each worker and rank; pytest's own has no context on any GPU.
"""

from __future__ import annotations

import pytest
import torch

MOST = 4


@pytest.fixture(scope="session", autouse=True)
def gpus() -> list[str]:
    """The devices that tests use."""
    if not torch.cuda.is_available():
        pytest.fail("no GPU was found", pytrace=False)
    return [f"cuda:{k}" for k in range(min(torch.cuda.device_count(), MOST))]


@pytest.fixture
def second(gpus: list[str]) -> str:
    """A GPU that is not the first."""
    if len(gpus) < 2:
        pytest.skip("needs a second GPU")
    return gpus[1]
