"""Normalises raw uint8 images, and measures the mean and standard deviation to do so."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kspike.data.sources import Array


def normalize(
    images: Array, mean: Sequence[float], std: Sequence[float], input_range: tuple[float, float] = (0, 255)
) -> Array:
    """Maps raw pixels to float32: ((x - low) / (high - low) - mean) / std, channel by channel.

    It is computed as one product and one sum in float32, so that equal pixels give equal bits on every machine.

    Args:
        images: (..., height, width, channels), uint8, or floats of the same range.
        mean, std: one number a channel, of pixels already scaled to 0..1.
        input_range: (low, high) of raw pixels: (0, 255), and (0, 16) for "digits".

    Returns:
        float32, the shape of `images`.
    """
    low, high = float(input_range[0]), float(input_range[1])
    if images.shape[-1] != len(mean) or len(mean) != len(std):
        raise ValueError(
            f"Expected one mean and one std a channel; received images of {images.shape[-1]} channels, "
            f"{len(mean)} means and {len(std)} stds. Images are channels last."
        )
    scale, offset = product_and_sum(mean, std, (low, high))
    # A row of a whole image: NumPy's inner loop is then thousands of values long, not three.
    pixels = int(np.prod(images.shape[-3:-1]))
    rows = images.reshape(-1, pixels * images.shape[-1])
    out = np.multiply(rows, np.tile(scale, pixels), dtype=np.float32)
    out += np.tile(offset, pixels)
    return out.reshape(images.shape)


#: Bytes of images that are measured at once.
MEASURED = 64 << 20


def product_and_sum(
    mean: Sequence[float], std: Sequence[float], input_range: tuple[float, float]
) -> tuple[Array, Array]:
    """What pixels are multiplied by, and what is added then, to normalise them: float32, one number a channel."""
    low, high = float(input_range[0]), float(input_range[1])
    scale = 1.0 / (np.asarray(std, np.float64) * (high - low))
    offset = -np.asarray(mean, np.float64) / np.asarray(std, np.float64) - low * scale
    return scale.astype(np.float32), offset.astype(np.float32)


def channel_statistics(
    images: Any, positions: Array, input_range: tuple[float, float] = (0, 255)
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measures mean and standard deviation a channel of pixels scaled to 0..1, over the images at `positions`.

    Exact for whole numbers (their sums are), then rounded to four decimals, which is what cards carry. Images may be
    decoded as they are asked for: few are at a time.
    """
    channels = images.shape[-1]
    row = int(np.prod(images.shape[1:]))
    whole = images.dtype == np.uint8
    kind, inside = (np.uint64, np.uint32) if whole else (np.float64, np.float64)
    total, squares = np.zeros(row, kind), np.zeros(row, kind)
    size = max(1, min(4096, MEASURED // row))  # 4,096 squares of a byte fit into 32 bits
    for start in range(0, len(positions), size):
        chunk = images[positions[start : start + size]].reshape(-1, row)
        total += chunk.sum(axis=0, dtype=inside)
        squares += np.square(chunk, dtype=np.uint16 if whole else np.float64).sum(axis=0, dtype=inside)
    count = len(positions) * row // channels
    first = total.reshape(-1, channels).sum(axis=0) / count
    second = squares.reshape(-1, channels).sum(axis=0) / count
    low, high = input_range
    mean = (first - low) / (high - low)
    std = np.sqrt(np.maximum(second - first**2, 0.0)) / (high - low)
    std = np.where(std < 1e-4, 1.0, std)  # a constant channel carries nothing to scale
    return tuple(round(float(m), 4) for m in mean), tuple(round(float(s), 4) for s in std)
