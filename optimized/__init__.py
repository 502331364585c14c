"""The implementation as fast as the hardware allows. What the reference has too has the same file name."""

from optimized.cache import LruCache
from optimized.collect import Collector
from optimized.embed import Embedder
from optimized.encode import PackingEncoder
from optimized.identify import Identifier
from optimized.merge import Merger
from optimized.prepare import Preparer
from optimized.towers import load
from optimized.transport import SharedMemoryTransport
from plumbline.interface import Capability, Implementation

implementation = Implementation(
    name="optimized",
    version="0.1.0",
    capabilities=frozenset(
        {
            Capability.VIDEO,
            Capability.TILES,
            Capability.SEVERAL_SPANS,
            Capability.PRECOMPUTED,
            Capability.CALLER_KEYS,
            Capability.SIDE_ROWS,
            Capability.EXTRAS,
            Capability.LAZY,
            Capability.EPOCHS,
            Capability.BATCHING,
            Capability.CACHE,
            Capability.DEVICE,
            Capability.PORT,
            Capability.DEDUPE,
            Capability.HOLDING,
            Capability.DIGEST_V1,
            Capability.MERGE_OUT,
            Capability.TRANSPORT,
            Capability.RANKS,
            Capability.TOWERS,
            Capability.GRAPHS,
        }
    ),
    tower=load,
    collect=Collector,
    identify=Identifier,
    prepare=Preparer,
    transport=SharedMemoryTransport,
    encoder=PackingEncoder,
    cache=LruCache,
    embed=Embedder,
    merge=Merger,
)
