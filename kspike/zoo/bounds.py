"""Checks the sizes in a raw configuration before anything is built from it.

A few bytes of JSON can ask for terabytes. The raw numbers are bounded first, because the config's constructor already
allocates one value a block; then the number of parameters, in closed form, must fit the weight file's size.
"""

from __future__ import annotations

import math
from typing import Any

MAX_PARAMETERS = 1 << 31
# Far above any published spiking transformer, far below what exhausts memory; the weight file's size bounds the rest.
_LIMITS = {
    "input_shape": 4096, "num_classes": 1_000_000, "timesteps": 4096, "embed_dim": 65_536, "depth": 1024,
    "num_heads": 65_536, "mlp_ratio": 64, "stem_channels": 65_536,
}  # fmt: skip
_DEFAULT_LIMIT = 1_000_000
_MAX_LENGTH = 1024
# Pixels times channels times time steps of one image: 100 times an ImageNet image at T=4.
_MAX_INPUT = 1 << 26
# An HDF5 file stores a header of a few hundred bytes a dataset or group beside the numbers; measured: under 2 KiB each.
_OVERHEAD_PER_BLOCK = 256 * 1024
_BYTES, _LEAST_BYTES = 4, 2  # float32, and float16 for kernels


def check_config(raw: dict, what: str) -> None:
    """Raises ValueError where a number or a list of a raw config is larger than any model we would build."""
    for key, value in raw.items():
        _check(value, _LIMITS.get(key, _DEFAULT_LIMIT), f"{key} in {what}")
    shape = raw.get("input_shape")
    sizes = [
        size for size in [*(shape if isinstance(shape, list) else []), raw.get("timesteps")] if isinstance(size, int)
    ]
    if math.prod(sizes) > _MAX_INPUT:
        raise ValueError(
            f"Expected an input of at most {_MAX_INPUT:,} numbers in {what}; received {sizes}. Nothing was built."
        )


def _check(value: Any, limit: float, what: str) -> None:
    if isinstance(value, (dict, list)):
        if len(value) > _MAX_LENGTH:
            raise ValueError(f"Expected {what} to have at most {_MAX_LENGTH} values; received {len(value):,}.")
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, limit, what)
    elif isinstance(value, str):
        if len(value) > _MAX_LENGTH:
            raise ValueError(f"Expected {what} to be a short text; received {len(value):,} letters.")
    elif isinstance(value, (int, float)) and abs(value) > limit:
        raise ValueError(f"Expected {what} to be at most {limit:,}; received {value!r}. Nothing was built.")


def check_parameters(parameters: int, places: int, weight_bytes: int, what: str) -> None:
    """Raises ValueError unless a weight file of that size can hold exactly this many trainable parameters.

    float32 takes four bytes, float16 two; besides the trainable ones the file holds the normalisations' moving
    statistics, which are never more than the trainable ones, and something for each of the `places` with layers:
    blocks, stem and downsamplings.
    """
    least = _LEAST_BYTES * parameters
    most = 2 * _BYTES * parameters + (places + 1) * _OVERHEAD_PER_BLOCK
    if parameters > MAX_PARAMETERS:
        raise ValueError(f"Expected {what} to have at most {MAX_PARAMETERS:,} parameters; received {parameters:,}.")
    if not least <= weight_bytes <= most:
        raise ValueError(
            f"Expected {what} with {parameters:,} parameters to have a weight file of {least:,} to {most:,} bytes; "
            f"received {weight_bytes:,}. The config and the weights do not belong together."
        )
