"""Products with int8 weights, and what is left of a normalisation behind them: the layers of a quantised network."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, NoReturn

import keras
import numpy as np
from keras import ops

from kspike._types import Array, Maps, Signal
from kspike.layers import products
from kspike.layers.border import BorderNorm, surrounded
from kspike.layers.norm import BatchNorm

#: The largest whole number that a weight, or a rounded input, has.
LARGEST = 127


@keras.saving.register_keras_serializable(package="kspike")
class Int8Policy(keras.DTypePolicy):
    """The dtype policy of a quantised network: products hold int8, everything is computed in float32, exactly.

    `kspike.quantize` makes such networks; a `Spikformer` that is made with it has weights of 0, to be filled.
    """

    def __init__(self) -> None:
        super().__init__("kspike_int8")

    def _parse_name(self, name: str) -> tuple[str, str]:
        return "float32", "float32"

    def get_config(self) -> dict[str, Any]:
        return {}


def is_int8(policy: Any) -> bool:
    """Whether a dtype policy is that of quantised networks."""
    return isinstance(policy, Int8Policy)


class _Int8:
    """Goes before a product of `kspike.layers.products`: y = x q 2^-k + bias, one k an output channel.

    q is int8, x spikes, levels or sums of them; or real numbers, which `rounds` makes whole first:

        x = clip(round(x * per_step), -127, 127)

    The kernel that is multiplied by is q 2^-k, so that every product, every sum of products and the bias, a multiple of
    a power of two as well, are exact in float32 as long as the sum of whole numbers stays below 2^24: in whatever order
    a backend or another runtime adds up, the result is what int32 gives.
    """

    #: Whether real numbers come in; said before the layer is built.
    rounds = False

    def add_weight(self, *args: Any, name: str | None = None, **kwargs: Any) -> keras.Variable:
        """As Keras', but the kernel is int8 and nothing is trained."""
        add = super().add_weight  # type: ignore[misc]
        fixed = {"trainable": False, "autocast": False}
        if name != "kernel":
            return add(*args, name=name, **{**kwargs, **fixed, "dtype": "float32"})
        shape = tuple(kwargs["shape"])
        depthwise = isinstance(self, keras.layers.DepthwiseConv2D)
        common = {"initializer": "ones", "dtype": "float32", **fixed}
        self.scale = add(shape=shape[-2:] if depthwise else shape[-1:], name="scale", **common)
        if self.rounds:
            self.per_step = add(shape=(), name="per_step", **common)
        # another name than a float kernel's: whoever gives weights by their paths must not mix the two up
        return add(shape=shape, name="int8", initializer="zeros", dtype="int8", **fixed)

    @property
    def kernel(self) -> Array:
        """q 2^-k, float32."""
        dtype = self.compute_dtype  # type: ignore[attr-defined]
        return ops.multiply(ops.cast(self._kernel, dtype), ops.cast(self.scale, dtype))

    @kernel.setter
    def kernel(self, value: Any) -> None:
        self._kernel = value

    def call(self, inputs: Signal, training: bool | None = None) -> Signal:
        """The product."""
        if self.rounds:
            whole = ops.round(ops.multiply(inputs, ops.cast(self.per_step, inputs.dtype)))
            inputs = ops.clip(whole, -float(LARGEST), float(LARGEST))
        return super().call(inputs)  # type: ignore[misc]

    def quantize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuses, by ValueError."""
        raise ValueError(f"{self.name} has int8 weights already.")  # type: ignore[attr-defined]

    # Keras' layers write the kernel they would multiply by
    def save_own_variables(self, store: Any) -> None:
        """As every layer without a form of its own."""
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        """As every layer without a form of its own."""
        keras.layers.Layer.load_own_variables(self, store)


@keras.saving.register_keras_serializable(package="kspike")
class Int8Dense(_Int8, products.Dense):
    """A dense product with int8 weights. Input shape: `(..., inputs)`; output shape: `(..., units)`."""


@keras.saving.register_keras_serializable(package="kspike")
class Int8Conv2D(_Int8, products.Conv2D):
    """A convolution with int8 weights, of the shapes of `kspike.layers.products.Conv2D`."""


@keras.saving.register_keras_serializable(package="kspike")
class Int8DepthwiseConv2D(_Int8, products.DepthwiseConv2D):
    """A convolution of each channel by itself with int8 weights, of the shapes of `products.DepthwiseConv2D`."""


@keras.saving.register_keras_serializable(package="kspike")
class Int8Norm(BatchNorm):
    """What is left of a normalisation whose scale is in the product before it: y = x + bias.

    The bias is a multiple of a power of two. Input and output shape: `(batch, time, ..., channels)`.
    """

    def build(self, input_shape: tuple) -> None:
        self.bias = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, dtype="float32", autocast=False, name="bias"
        )

    def call(
        self, inputs: Signal, training: bool | None = None, mask: Annotated[Array, "batch time ..."] | None = None
    ) -> Signal:
        if self.listener is not None:
            self.listener(inputs)
        return ops.add(inputs, ops.cast(self.bias, inputs.dtype))

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        bias = np.asarray(ops.convert_to_numpy(self.bias), "float64")
        return np.ones_like(bias), bias


@keras.saving.register_keras_serializable(package="kspike")
class Int8BorderNorm(Int8Norm, BorderNorm):
    """What is left of a `BorderNorm`: x + bias, and the bias around each map, which is what it makes of 0.

    Input shape: `(batch, time, height, width, channels)`; output shape: the same with height and width longer by 2.
    """

    def call(self, inputs: Maps, training: bool | None = None, mask: Any = None) -> Maps:
        return surrounded(super().call(inputs), self.bias)


class Classes(NamedTuple):
    """The layers that a component's parts become."""

    dense: type[keras.layers.Dense]
    conv: type[keras.layers.Conv2D]
    depthwise: type[keras.layers.DepthwiseConv2D]
    norm: type[BatchNorm]
    border: type[BatchNorm]


_FLOAT = Classes(products.Dense, products.Conv2D, products.DepthwiseConv2D, BatchNorm, BorderNorm)
_INT8 = Classes(Int8Dense, Int8Conv2D, Int8DepthwiseConv2D, Int8Norm, Int8BorderNorm)


def classes(policy: Any) -> Classes:
    """The layers of products and normalisations under a dtype policy."""
    return _INT8 if is_int8(policy) else _FLOAT
