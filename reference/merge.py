"""The input embeddings of a step: rows at the placeholders, token embeddings everywhere else."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from plumbline.interface import BadTokens, Merged, PlumblineError, Rows, Runtime


@torch.no_grad()
def merge(
    runtime: Runtime,
    rows: Sequence[Rows],
    token_ids: Tensor,
    embed_tokens: Callable[[Tensor], Tensor],
    out: Tensor | None = None,
) -> Merged:
    """Embeddings, mask and side rows of the chunks ``rows``, whose token ids are concatenated in ``token_ids``.

    A placeholder is looked up as token 0 and then overwritten, so its own id never reaches the table. Inputs are only
    read; ``out`` [N, hidden_size], where given, is written and returned.

    MERGE-001 to MERGE-005, MERGE-007 to MERGE-009, CHUNK-009. Raises BadTokens, or PlumblineError: ``out`` has another shape.
    """
    spec, device = runtime.spec, runtime.port.device
    mask = torch.cat([torch.empty(0, dtype=torch.bool), *(chunk_mask(chunk) for chunk in rows)])
    if token_ids.shape != mask.shape:
        raise BadTokens(f"token ids of shape {tuple(token_ids.shape)} for chunks of {len(mask)} tokens")
    text = token_ids[~mask]
    if ((text < 0) | (text >= spec.vocab_size)).any():
        raise BadTokens("a text id outside the vocabulary", hint="placeholders need their rows in the same call")
    if out is not None and out.shape != (len(mask), spec.hidden_size):
        raise PlumblineError(f"out has shape {tuple(out.shape)}, not {(len(mask), spec.hidden_size)}")

    looked_up = embed_tokens(token_ids.masked_fill(mask, 0).to(device))
    embeds = looked_up.clone() if out is None else out.copy_(looked_up)
    none = torch.empty(0, spec.hidden_size, dtype=spec.dtype, device=device)
    main = torch.cat([none, *(chunk.rows for chunk in rows)])
    embeds[mask.to(embeds.device)] = main.to(embeds.dtype)
    side = tuple(torch.cat([none, *(chunk.side[level] for chunk in rows)]) for level in range(spec.side_levels))
    return Merged(embeds, mask, side)


def chunk_mask(chunk: Rows) -> Tensor:
    """CPU bool [hi - lo]: where the chunk's placeholders are."""
    mask = torch.zeros(chunk.hi - chunk.lo, dtype=torch.bool)
    mask[chunk.positions - chunk.lo] = True
    return mask
