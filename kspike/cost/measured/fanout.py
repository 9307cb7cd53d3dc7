"""Fan-out: how many nonzero weights each number of an input is multiplied by, padding left out."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kspike.cost.conventions.activity import Geometry
from kspike.cost.measured import layers
from kspike.cost.measured.layers import Tap
from kspike.layers.products import pads_around

_LETTERS = "abcdefgh"


class ProductSize(NamedTuple):
    """What the shapes and weights of one call of a product say.

    Args:
        timed: whether its input may have a time axis.
        dense: multiply-accumulates for one image; None of an elastic layer, where only a closed form knows them.
        geometry: its size for one image.
        fan: nonzero weights that each number of the input is multiplied by, as a tensor that broadcasts to it.
    """

    timed: bool
    dense: int | None
    geometry: Geometry
    fan: Any


def product_size(tap: Tap, x: tuple, y: tuple, images: int) -> ProductSize:
    """The sizes of one call of a product on so many images, with input and output of shapes x and y."""
    role, operator = tap.role, tap.operator
    # axis 1 of a convolution's input is height, except inside TimeDistributed
    timed = len(x) > (2 if role == "dense" else 2 + _image_axes(operator))
    products = None if operator is None else layers.multiply_accumulates(operator, x, y)
    dense = None if products is None else products // images
    return ProductSize(timed, dense, _geometry(tap, x, y, images, products), _fan_out(role, operator, x, y))


def _geometry(tap: Tap, x: tuple, y: tuple, images: int, products: int | None) -> Geometry:
    """The size of one call of `products` multiply-accumulates, for one image.

    An elastic layer (no operator) has the geometry of one of its output channels; the closed form says how many.
    """
    layer, role, operator = tap.layer, tap.role, tap.operator
    inside = _inside(operator, role, x, y)
    if operator is None or products is None:
        positions = math.prod(x[:-1]) // images
        kernel = (3, 3) if role == "conv" else ()
        fan = math.prod(kernel)
        return Geometry(
            inputs=math.prod(x) // images,
            outputs=positions,
            reach=round(positions * fan * inside),
            fan=fan,
            kernel=kernel,
            strides=(1,) * len(kernel),
            biased=bool(getattr(layer, "use_bias", False)),
        )
    window: tuple[int, ...] = tuple(operator.kernel_size) if role == "conv" else ()
    weights = [v for v in (operator.kernel, getattr(operator, "bias", None)) if v is not None]
    return Geometry(
        inputs=math.prod(x) // images,
        outputs=math.prod(y) // images,
        weights=sum(math.prod(v.shape) for v in weights),
        reach=round(products // images * inside),
        fan=_fan(operator, products, x),
        kernel=window,
        strides=tuple(operator.strides) if window else (),
        biased=getattr(operator, "bias", None) is not None,
    )


def _fan(operator: keras.Layer, products: int, x: tuple) -> int:
    if not hasattr(operator, "kernel_size"):
        return products // math.prod(x)
    channels = operator.depth_multiplier if isinstance(operator, layers.DEPTHWISE) else operator.filters
    return math.prod(operator.kernel_size) * channels // getattr(operator, "groups", 1)


def _fan_out(role: str, operator: keras.Layer | None, x: tuple, y: tuple) -> Any:
    """Nonzero weights that each number of x meets, as a tensor that broadcasts to x.

    Of an elastic layer, for one output channel, all weights taken as nonzero.
    """
    if role != "conv":
        return 1.0 if operator is None else _of_dense(operator, x)
    axes = [np.asarray(a, "float32") for a in _meeting(operator, x, y)]
    if operator is None:
        weights = ops.ones((*(a.shape[1] for a in axes), 1), "float32")
    else:
        weights = _of_window(operator, x)
    inputs, window = _LETTERS[: len(axes)], _LETTERS.upper()[: len(axes)]
    terms = ",".join(f"{i}{w}" for i, w in zip(inputs, window, strict=True))
    fan = ops.einsum(f"{terms},{window}z->{inputs}z", *(ops.convert_to_tensor(a) for a in axes), weights)
    return ops.moveaxis(fan, -1, 0) if _channels_first(operator) else fan


def _image_axes(operator: keras.Layer | None) -> int:
    """Over how many axes a convolution slides; an elastic one, which is no Keras layer, slides over two."""
    return 2 if operator is None else len(operator.kernel_size)


def _channels_first(operator: keras.Layer | None) -> bool:
    return operator is not None and operator.data_format == "channels_first"


def _nonzero(operator: keras.Layer, shape: tuple[int, ...]) -> Any:
    """1 where a weight is not zero; where a quantised layer keeps its kernel packed, 1 everywhere."""
    kernel = operator.kernel
    if tuple(kernel.shape) != shape:
        return ops.ones(shape, "float32")
    return ops.absolute(ops.sign(ops.cast(kernel, "float32")))


def _of_window(operator: keras.Layer, x: tuple) -> Any:
    """Nonzero weights by place in the window and input channel, `(window..., channels)`."""
    window, rank = tuple(operator.kernel_size), len(operator.kernel_size)
    channels = x[-rank - 1] if _channels_first(operator) else x[-1]
    if isinstance(operator, layers.TRANSPOSED):
        return ops.sum(_nonzero(operator, (*window, operator.filters, channels)), axis=-2)
    if isinstance(operator, layers.DEPTHWISE):
        return ops.sum(_nonzero(operator, (*window, channels, operator.depth_multiplier)), axis=-1)
    groups = operator.groups
    kernel = _nonzero(operator, (*window, channels // groups, operator.filters))
    kernel = ops.reshape(kernel, (*window, channels // groups, groups, operator.filters // groups))
    return ops.reshape(ops.swapaxes(ops.sum(kernel, axis=-1), -1, -2), (*window, channels))


def _of_dense(operator: keras.Layer, x: tuple) -> Any:
    if isinstance(operator, keras.layers.Dense):
        return ops.sum(_nonzero(operator, (x[-1], operator.units)), axis=-1)
    left, _ = operator.equation.replace(" ", "").split("->")
    source, weights = left.split(",")
    head, _, tail = source.partition("...")
    labels = list(head) + ["."] * (len(x) - len(head) - len(tail)) + list(tail)
    shared = "".join(label for label in labels if label in weights)
    kernel = ops.einsum(f"{weights}->{shared}", _nonzero(operator, tuple(operator.kernel.shape)))
    return ops.reshape(kernel, [n if label in shared else 1 for label, n in zip(labels, x, strict=True)])


def _inside(operator: keras.Layer | None, role: str, x: tuple, y: tuple) -> float:
    """Share of a convolution's multiply-accumulates that read the input and not its padding."""
    if role != "conv":
        return 1.0
    axes = _meeting(operator, x, y)
    if isinstance(operator, layers.TRANSPOSED):  # counted from the input: what is cropped is left out
        return math.prod(float(a.mean()) for a in axes)
    sizes = _sizes(operator, y)
    return math.prod(float(a.sum()) / (n * a.shape[1]) for a, n in zip(axes, sizes, strict=True))


def _sizes(operator: keras.Layer | None, shape: tuple) -> tuple[int, ...]:
    rank = _image_axes(operator)
    return shape[-rank:] if _channels_first(operator) else shape[-rank - 1 : -1]


def _meeting(operator: keras.Layer | None, x: tuple, y: tuple) -> list[np.ndarray]:
    """For each axis of the image: whether input position i is multiplied by window position k, `(size, window)`."""
    rank = _image_axes(operator)
    window = (3,) * rank if operator is None else operator.kernel_size
    strides = (1,) * rank if operator is None else operator.strides
    dilations = (1,) * rank if operator is None else operator.dilation_rate
    padding = "same" if operator is None else operator.padding
    transposed = isinstance(operator, layers.TRANSPOSED)
    out = []
    for n, m, k, s, d in zip(_sizes(operator, x), _sizes(operator, y), window, strides, dilations, strict=True):
        long, short = (m, n) if transposed else (n, m)
        missing = max((short - 1) * s + (k - 1) * d + 1 - long, 0)
        same = k // 2 if operator is not None and pads_around(operator) else missing // 2
        before = {"valid": 0, "same": same, "causal": (k - 1) * d}[padding]
        place = np.arange(n)[:, None]
        offset = np.arange(k)[None, :] * d
        if transposed:
            reached = place * s + offset - before
            out.append((reached >= 0) & (reached < m))
        else:
            start = place + before - offset
            out.append((start >= 0) & (start % s == 0) & (start // s < m))
    return out
