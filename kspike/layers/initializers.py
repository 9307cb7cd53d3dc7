"""Initial weights, drawn by NumPy: the same numbers on every backend, and nothing compiled to draw them.

Keras' own initialisers draw by the backend: one seed gives three networks, and under jax each shape of a weight is a
program of its own, compiled for seconds to fill what is often overwritten at once.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops

from kspike._types import Array

_drawing: contextvars.ContextVar[bool] = contextvars.ContextVar("kspike_drawing", default=True)
#: Bytes to which backends align what they allocate: products of other arrays run slower, and round otherwise.
_ALIGNMENT = 64


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Within it the initialisers of this module give zeros: for models whose weights are about to be overwritten."""
    before = _drawing.set(False)
    try:
        yield
    finally:
        _drawing.reset(before)


@keras.saving.register_keras_serializable(package="kspike")
class TruncatedNormal(keras.initializers.TruncatedNormal):
    """Fills with normal numbers, those beyond two deviations drawn again; by NumPy, the same on every backend.

    Args:
        mean: of the normal distribution.
        stddev: its deviation, before what is beyond two of it is drawn again.
        seed: a whole number; None for one that Python's `random` gives, which `keras.utils.set_random_seed` seeds; or
            a `keras.random.SeedGenerator`, by which each call gives other numbers.
    """

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Annotated[Array, "*shape"]:
        return _filled(shape, dtype, self.seed, lambda draw, count: self.mean + self.stddev * _truncated(draw, count))


@keras.saving.register_keras_serializable(package="kspike")
class UniformFanIn(keras.initializers.VarianceScaling):
    """Fills evenly within +-1/sqrt(fan_in), PyTorch's default for convolutions; by NumPy, the same on every backend.

    fan_in is the product of all axes but the last.

    Args:
        seed: as `TruncatedNormal`.
    """

    def __init__(self, seed: int | keras.random.SeedGenerator | None = None) -> None:
        super().__init__(scale=1.0 / 3.0, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Annotated[Array, "*shape"]:
        limit = 1.0 / math.sqrt(max(1, math.prod(shape[:-1])))
        return _filled(shape, dtype, self.seed, lambda draw, count: draw.uniform(-limit, limit, count))

    def get_config(self) -> dict[str, Any]:
        return {"seed": super().get_config()["seed"]}


def _filled(
    shape: Sequence[int],
    dtype: str | None,
    seed: int | keras.random.SeedGenerator,
    numbers: Callable[[np.random.RandomState, int], np.ndarray],
) -> Annotated[Array, "*shape"]:
    """`numbers(draw, count)` in a tensor of that shape; zeros within `undrawn`."""
    dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
    values = _aligned(tuple(shape), "float64" if dtype == "float64" else "float32")
    values[...] = numbers(_random(seed), values.size).reshape(values.shape) if _drawing.get() else 0.0
    return ops.convert_to_tensor(values, dtype=dtype)


def _random(seed: int | keras.random.SeedGenerator) -> np.random.RandomState:
    """NumPy's frozen generator: it alone promises the same numbers in every later release of NumPy."""
    if isinstance(seed, int):
        key = [seed % 2**64]
    else:  # a SeedGenerator, which moves on
        key = [int(part) % 2**32 for part in ops.convert_to_numpy(seed.next())]
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(key)))


def _truncated(draw: np.random.RandomState, count: int) -> np.ndarray:
    """Standard normal numbers of at most 2 from 0."""
    values = draw.standard_normal(count)
    while len(outside := np.flatnonzero(np.abs(values) > 2.0)):
        values[outside] = draw.standard_normal(len(outside))
    return values


def _aligned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An empty array where a backend that takes it without a copy would have put its own."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT, "uint8")
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
