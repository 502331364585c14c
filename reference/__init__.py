"""The reference: the specification as a program. Slow, plain, and what every other implementation is compared with.

It has no cache, no batching and no flags. Each docstring names the requirements of ``conformance.md`` that it states.
"""

from plumbline.interface import Capability, Implementation
from reference.collect import collect
from reference.embed import Embed
from reference.encode import OneByOne
from reference.identify import identify
from reference.merge import merge
from reference.prepare import prepare
from reference.towers import load
from reference.transport import Inline

implementation = Implementation(
    name="reference",
    version="0.1.0",
    capabilities=frozenset(
        {
            *(Capability.VIDEO, Capability.TILES, Capability.SEVERAL_SPANS, Capability.PRECOMPUTED),
            *(Capability.CALLER_KEYS, Capability.SIDE_ROWS, Capability.EXTRAS, Capability.LAZY, Capability.EPOCHS),
            *(Capability.PORT, Capability.DIGEST_V1, Capability.MERGE_OUT, Capability.TRANSPORT, Capability.TOWERS),
        }
    ),
    tower=load,
    collect=lambda spec: lambda request_id, token_ids, processed: collect(request_id, token_ids, processed, spec),
    identify=lambda runtime: identify,
    prepare=lambda runtime, identify: lambda requests: prepare(requests, runtime, identify),
    transport=lambda runtime: Inline(),
    encoder=lambda runtime, tower: OneByOne(tower, runtime.port),
    embed=lambda runtime, encoder, cache: Embed(runtime, encoder),
    merge=lambda runtime: (
        lambda rows, token_ids, embed_tokens, out=None: merge(runtime, rows, token_ids, embed_tokens, out)
    ),
)

__all__ = ["implementation"]
