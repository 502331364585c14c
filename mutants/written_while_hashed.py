"""intel/auto-round #1502 (merged), #1620 (open), Comfy-Org/ComfyUI #13527, pytorch #101151: "RuntimeError: Inference
tensors do not track version counter" - code that reads a tensor's ``_version`` works until somebody makes the tensor
under ``torch.inference_mode``.

Carried over: a guard against callers who write a payload while it is hashed (kin: what mlx-vlm #1933 remembers by
version): its version is compared before and after. A processor that runs under ``inference_mode`` (fast image
processors on tensors do) gives tensors that have no version, and the guard raises RuntimeError out of ``identify``, and
so out of ``prepare``, for all requests of the call.

Shows with: a payload (or a tensor among the row-affecting extras) that was made inside ``torch.inference_mode()``,
prepared inside or outside of it.

Breaks ISO-001 (a valid request succeeds), ISO-002 / PREP-006 (one result for each request), IDENT-002 (equal content
has equal digests, whatever the object).
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import BadPayload

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-001", "ISO-002", "PREP-006", "IDENT-002", "ISO-009")


class Identify(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        before = tensor._version
        digest = super().content(tensor)
        if tensor._version != before:
            raise BadPayload("the payload was written while it was hashed")
        return digest


implementation = dataclasses.replace(optimized.implementation, name="mutant written_while_hashed", identify=Identify)
