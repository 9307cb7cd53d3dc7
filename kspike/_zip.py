"""How much a zip that may come from anyone is allowed to unpack to: a few lines of it can claim terabytes."""

from __future__ import annotations

#: The largest published Spikformer has 0.3 GB.
MAX_BYTES = 8 * 2**30
#: Largest compression ratio accepted, enough for pruned weights; zeros alone reach about 1000.
MOST_PACKED = 64
#: Unpacked size accepted from any file, however small.
FREE_BYTES = 2**26


def most(size: int) -> int:
    """Bytes of a zip -> bytes that it may unpack to, all members together."""
    return min(MAX_BYTES, max(FREE_BYTES, MOST_PACKED * size))
