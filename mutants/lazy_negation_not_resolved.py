"""safetensors #831, fix #832 (open): the bytes of a contiguous tensor are read from its address, where a lazy conjugate or a lazy
negative (``Tensor.is_conj``, ``is_neg``) still has the values of the tensor that it is a view of. Kin: pytorch #81690.

Carried over: a payload is hashed where it lies, by its address, which spares the detour over views that numpy can take (strides
of dimensions of size 1, bfloat16).

Shows for payloads or tensor extras that are lazy views and contiguous: ``z.conj()`` as an extra, ``torch._neg_view(x)`` as a
payload. They have the identity of ``z`` and ``x``, whose rows are others, and not that of their own clone."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np
from blake3 import blake3
from torch import Tensor

import optimized
from optimized.identify import THREADS, THREADS_PAY_FROM, Identifier

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-003", "IDENT-002")


class AddressIdentifier(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        if id(tensor) in self.known:
            return self.known[id(tensor)]
        plain = tensor.cpu().contiguous()
        nbytes = plain.numel() * plain.element_size()
        if not nbytes:
            return blake3(b"").digest()
        data = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(plain.data_ptr()))
        return blake3(data.data, max_threads=THREADS if nbytes >= THREADS_PAY_FROM else 1).digest()


implementation = dataclasses.replace(
    optimized.implementation, name="mutant lazy_negation_not_resolved", identify=AddressIdentifier
)
