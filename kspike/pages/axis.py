"""Axes: ticks at round numbers, and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers, evenly spaced, the first at or below `low` and the last at or above `high`."""
    if not high > low:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = size * next((m for m in (1, 2, 2.5, 5) if m * size >= raw * (1 - 1e-9)), 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def whole_ticks(first: int, last: int, most: int = 8) -> list[float]:
    """Whole numbers from the first on (time steps, generations): all if they are few, else evenly spaced ones."""
    every = max(1, -(-last // most))
    return [float(n) for n in range(first, last + 1) if n == first or n % every == 0]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten, the first at or below `low` and the last at or above `high`, both above 0; at least two."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """Ticks as texts, with as many digits as tell neighbours apart."""
    step = abs(values[1] - values[0]) if len(values) > 1 else abs(values[0])
    if not step:
        return [f"{value:g}" for value in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:  # 2.5, 0.25
        digits += 1
    if digits <= 6:
        return [f"{value:.{digits}f}" for value in values]
    most = max(abs(value) for value in values)  # significant digits, for very small steps
    return [f"{value:.{digits + math.floor(math.log10(most)) + 1}g}" for value in values]
