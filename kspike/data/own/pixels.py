"""Images of a user's as arrays: of one size, channels last, uint8 or floats of a stated range."""

from __future__ import annotations

from typing import Any

import numpy as np

from kspike._finite import bad_rows
from kspike._messages import shown
from kspike.data.own import pictures
from kspike.data.sources import Array

#: Numbers of channels that an image has, by which a user's axes are told apart.
CHANNELS = (1, 2, 3, 4)


def to_numpy(values: Any) -> Any:
    """A tensor of any library, on any device, as a NumPy array; anything else as it is."""
    if hasattr(values, "detach"):  # torch
        values = values.detach().cpu()
        try:
            return values.numpy()
        except TypeError:  # a dtype that NumPy has not, bfloat16
            return values.float().numpy()
    return np.asarray(values) if hasattr(values, "shape") and hasattr(values, "dtype") else values


def read(
    images: Any, input_range: tuple[float, float] | None, size: tuple[int, int] | None, fit: str, what: str = "images"
) -> Array:
    """Images -> uint8, or float32 of the stated range, (n, height, width, channels).

    Args:
        images: one array or tensor, (n, height, width) or (n, height, width, channels); or a list of images, which may
            differ in size where `size` is given.
        input_range: the smallest and the largest value a pixel may take, if that is not 0 and 255 of uint8.
        size: (height, width) that images are made to fit; None leaves them as they are.
        fit: "crop" or "resize".
        what: the argument's name, for messages.

    Raises:
        ValueError: anything else; says what.
    """
    images = to_numpy(images)
    if isinstance(images, np.ndarray) and images.dtype != object:
        return _of_size(batch(images, input_range, what), size, fit)
    if not isinstance(images, (list, tuple, np.ndarray)) or not len(images):
        raise ValueError(f"{what}: expected an array of images (n, height, width, channels); received {shown(images)}.")
    each = [batch(np.asarray(to_numpy(image))[None], input_range, f"{what}[{i}]") for i, image in enumerate(images)]
    shapes = sorted({image.shape[1:] for image in each})
    if len({shape[2] for shape in shapes}) > 1:
        raise ValueError(f"{what}: some have {shapes[0][2]} channels, some {shapes[-1][2]}: bring all to one number.")
    if size is None and len(shapes) > 1:
        raise ValueError(
            f"{what}: they differ in size, {shapes[0][:2]} and {shapes[-1][:2]} among them: pass image_size=, to which "
            "each is then made to fit."
        )
    return np.concatenate([_of_size(image, size, fit) for image in each])


def batch(images: Array, input_range: tuple[float, float] | None, what: str) -> Array:
    """A batch as it came -> (n, height, width, channels), uint8 or float32, its values looked at."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not images.size:
        more = " Recordings of events are opened by kspike.data.events." if images.ndim == 5 else ""
        raise ValueError(
            f"{what}: expected images (n, height, width, channels), at least one; received shape {images.shape}.{more}"
        )
    if images.shape[3] not in CHANNELS and images.shape[1] in CHANNELS:
        raise ValueError(
            f"{what}: shape {images.shape} looks as if channels came first; kspike has them last: "
            "images.transpose(0, 2, 3, 1), or channels_first=True where that is taken."
        )
    return _values(images, input_range, what)


def _values(images: Array, input_range: tuple[float, float] | None, what: str) -> Array:
    kind = images.dtype.kind
    if kind not in "uifb":
        raise ValueError(f"{what}: expected numbers, uint8 or floats, received {images.dtype}.")
    if kind == "f" and (bad := bad_rows(images)) is not None:
        raise ValueError(f"{what}: expected finite pixels; {bad}. Clean them first.")
    least, most = float(images.min()), float(images.max())
    if kind == "b":
        input_range, images = input_range or (0, 1), images.astype(np.uint8)
    elif kind in "ui" and input_range is None and 0 <= least and most <= 255:
        input_range = (0, 255)
    if input_range is None:
        raise ValueError(
            f"{what}: {images.dtype} from {least:g} to {most:g}: pass input_range=(lowest, highest), the values that a "
            "black and a white pixel have, such as (0, 1) for images scaled to that. They say what augmentation fills "
            "in, and what a published card asks of others' images."
        )
    low, high = input_range
    if least < low or most > high:
        raise ValueError(f"{what}: input_range={(low, high)}, but pixels reach from {least:g} to {most:g}.")
    if kind == "f" and 0 <= least and most <= 1 < high:
        raise ValueError(
            f"{what}: floats from {least:g} to {most:g} look scaled to 0..1 already, and input_range={(low, high)}: "
            "pass input_range=(0, 1)."
        )
    whole = images.dtype.kind in "ui" and low >= 0 and high <= 255
    return images.astype(np.uint8 if whole else np.float32, copy=False)


def check_range(value: Any) -> tuple[float, float] | None:
    """Reads an `input_range=` argument: None, or (lowest, highest)."""
    if value is None:
        return None
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (np.isfinite((low, high)).all() and low < high):
        raise ValueError(f"input_range: expected (lowest, highest) value of a pixel, received {value!r}.")
    return int(low) if low.is_integer() else low, int(high) if high.is_integer() else high


def range_of(given: tuple[float, float] | None) -> tuple[float, float]:
    """The range that images were read with, where none is stated: that of a byte."""
    return given if given is not None else (0, 255)


def _of_size(images: Array, size: tuple[int, int] | None, fit: str) -> Array:
    if size is None or images.shape[1:3] == size:
        return images
    return np.stack([pictures.fitted_array(image, size, fit) for image in images])
