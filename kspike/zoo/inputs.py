"""What is checked of any input of an entry: that it is an array of numbers, and a batch of the entry's shape."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_numpy(values: Any) -> np.ndarray:
    """An array, a tensor or a list of numbers -> a NumPy array of numbers."""
    if hasattr(values, "shape") and not isinstance(values, np.ndarray):
        from keras import ops

        values = ops.convert_to_numpy(values)
    try:
        array = np.asarray(values)
    except ValueError as error:  # a ragged list
        raise ValueError(f"Expected one array of numbers; received {error}. Stack images of one size.") from None
    if array.dtype.kind not in "uif":
        raise ValueError(f"Expected whole or floating-point numbers; received dtype {array.dtype}.")
    return array


def check_shape(array: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    """Refuses what is no batch of inputs of this shape."""
    if array.shape == shape:
        raise ValueError(
            f"Expected a batch of images (n, *{shape}); received one image. Add the batch axis: images[None]."
        )
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        kind = "(n, height, width, channels)" if len(shape) == 3 else "(n, time, height, width, channels)"
        raise ValueError(
            f"Expected images of shape (n, {', '.join(map(str, shape))}) for {name}, which is {kind}; received "
            f"{array.shape}. "
            "Resize them, or move the channels last."
        )
