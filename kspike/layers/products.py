"""The products inside the composite layers: Keras' layers, computed by kspike.ops."""

from __future__ import annotations

from typing import Annotated

import keras

from kspike._types import Array
from kspike.ops import convolve, linear


@keras.saving.register_keras_serializable(package="kspike")
class Dense(keras.layers.Dense):
    """Keras' Dense, its product and bias by `kspike.ops.linear`: in one pass where the backend has one.

    Weights, arguments and results are those of `keras.layers.Dense`. Input shape: `(..., inputs)`; output shape:
    `(..., units)`.
    """

    def call(
        self, inputs: Annotated[Array, "... inputs"], training: bool | None = None
    ) -> Annotated[Array, "... units"]:
        if self.activation is not keras.activations.linear:
            return super().call(inputs, training=training)
        return linear(inputs, self.kernel, self.bias)


@keras.saving.register_keras_serializable(package="kspike")
class Conv2D(keras.layers.Conv2D):
    """Keras' Conv2D, by `kspike.ops.convolve` where it is a convolution that keeps height and width.

    Weights, arguments and results are those of `keras.layers.Conv2D`.
    """

    def convolution_op(
        self,
        inputs: Annotated[Array, "frames height width inputs"],
        kernel: Annotated[Array, "kernel_height kernel_width inputs filters"],
    ) -> Annotated[Array, "frames height width filters"]:
        ones = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        if not ones or self.padding != "same" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        return convolve(inputs, kernel)
