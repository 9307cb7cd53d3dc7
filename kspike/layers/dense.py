"""The linear product of the composite layers."""

from __future__ import annotations

from typing import Any

import keras

from kspike.ops import linear


@keras.saving.register_keras_serializable(package="kspike")
class Dense(keras.layers.Dense):
    """Keras' Dense, its product and bias by `kspike.ops.linear`: in one pass where the backend has one.

    Weights, arguments and results are those of `keras.layers.Dense`. Input shape: `(..., inputs)`; output shape:
    `(..., units)`.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if len(self.kernel.shape) != 2 or self.activation is not keras.activations.linear:
            return super().call(inputs, training=training)
        return linear(inputs, self.kernel, self.bias)
