"""Copies of results and requests, to see whether somebody changed them later."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import Failure, Prepared, Request, Rows
from plumbline.trace import Trace

MOST = 1 << 24
"""Bytes of a tensor that are looked at: one that claims more, by strides of 0, is known by its object."""


def copy_of(result: Rows | Failure) -> Rows | Failure:
    """Rows that cannot be read are a failure, with what they raise."""
    if not isinstance(result, Rows):
        return result
    try:
        side = tuple(s.clone() for s in result.side)
        return dataclasses.replace(result, positions=result.positions.clone(), rows=result.rows.clone(), side=side)
    except Exception as error:
        return Failure(result.request_id, error)  # type: ignore[arg-type]


def same(a: Rows | Failure, b: Rows) -> bool:
    if not isinstance(a, Rows):
        return False
    return all_same_bits([a.rows, a.positions, *a.side], [b.rows, b.positions, *b.side])


def all_same_bits(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Equal dtypes, shapes and bits; ``torch.equal`` does not ask for the first."""
    pairs = zip(a, b, strict=False)
    return len(a) == len(b) and all(x.dtype == y.dtype and torch.equal(bits_of(x), bits_of(y)) for x, y in pairs)


def results(trace: Trace) -> Iterator[object]:
    """All that a run gave, in order."""
    for submission in trace.submissions:
        if isinstance(got := submission.result, Prepared):
            yield [identity.digest for identity in got.identities], got.token_ids.tolist(), got.prefix_keys.tolist()
        else:
            yield type(getattr(got, "error", got))
    for record in trace.steps:
        for result in record.results:
            yield result if isinstance(result, Rows) else (result.request_id, type(result.error))
        if record.merged:
            yield [record.merged.embeds, *record.merged.side]
    for crash in trace.crashes:
        yield crash.phase, type(crash.error)


def alike(a: Trace, b: Trace) -> bool:
    """Whether two runs gave the same, bit for bit."""
    return all(one_alike(x, y) for x, y in itertools.zip_longest(results(a), results(b)))


def one_alike(x: object, y: object) -> bool:
    if isinstance(x, Rows) and isinstance(y, Rows):
        return same(x, y)
    if isinstance(x, list) and isinstance(y, list):
        return all_same_bits(x, y)
    return x == y


def snapshot(request: Request) -> object:
    """Everything that a part could change in a request, comparable."""

    def freeze(value: object) -> object:
        if isinstance(value, Tensor):
            if (
                value.layout is not torch.strided
                or value.device.type != "cpu"
                or value.requires_grad
                or value.is_complex()
                or value.nbytes > MOST
                or not value.untyped_storage().nbytes()
            ):
                return id(value)
            raw = (
                value.contiguous().view(torch.uint8).numpy().tobytes() if value.numel() and value.dim() else repr(value)
            )
            return value.dtype, value.shape, value.stride(), raw
        if isinstance(value, tuple):
            return tuple(freeze(v) for v in value)
        return repr(value) if not isinstance(value, Mapping) else tuple((k, freeze(v.value)) for k, v in value.items())

    return (
        request.request_id,
        freeze(request.token_ids),
        tuple(
            (
                i.modality,
                i.source,
                freeze(i.payload),
                freeze(i.spans),
                freeze(i.grid_thw),
                freeze(dict(i.extras)),
                i.given,
            )
            for i in request.items
        ),
    )
