"""Batch normalisation over batch and time together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops

from kspike._types import Array, PerChannel, Signal
from kspike.ops import batch_norm, norm_lif


@keras.saving.register_keras_serializable(package="kspike")
class BatchNorm(keras.layers.BatchNormalization):
    """Normalises the last axis by moments over all others, batch and time jointly (no temporal normalisation).

    Keras' layer with Spikformer's constants (momentum 0.9 here is 0.1 in PyTorch's counting; epsilon 1e-5) and
    float32 moments in two passes, or the backend's fused form. Departure from PyTorch: the moving variance is the
    biased one, as in Keras; over batch x time x tokens samples the difference is below 0.1 % in practice.

    Input and output shape: `(batch, time, ..., channels)`.
    """

    #: Whether it may be one pass with the neuron behind it: not where `call` is a subclass' own.
    one_pass = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.one_pass = cls.call is BatchNorm.call

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        fixed = {"axis": -1, "center": True, "scale": True, "renorm": False, "synchronized": False}
        for name, only in fixed.items():
            if kwargs.get(name, only) != only:
                raise ValueError(f"kspike's BatchNorm has {name}={only!r} alone, got {kwargs[name]!r}; use Keras' own.")
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        #: Takes the input of every call, for measured costs; a function, or None.
        self.listener: Callable[[Any], None] | None = None

    def call(
        self, inputs: Signal, training: bool | None = None, mask: Annotated[Array, "batch time ..."] | None = None
    ) -> Signal:
        if self.listener is not None:
            self.listener(inputs)
        if mask is not None or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        y, mean, variance = batch_norm(inputs, self.gamma, self.beta, self.epsilon)
        self._remember(mean, variance)
        return ops.cast(y, self.compute_dtype)

    def then_fire(self, neuron: keras.layers.Layer | None, inputs: Signal, training: bool | None = None) -> Signal:
        """neuron(self(inputs)): in one pass each way where the backend has one, and nobody has hooked either."""
        one_pass = self.one_pass and getattr(neuron, "one_pass", False)
        if neuron is not None and one_pass and not watched(self, neuron):
            moments = None if training and self.trainable else (self.moving_mean, self.moving_variance)
            done = norm_lif(inputs, self.gamma, self.beta, moments, self.epsilon, **neuron.fused(inputs.shape[-1]))
            if done is not None:
                found, mean, variance = done
                if self.listener is not None:
                    self.listener(inputs)
                if moments is None:
                    self._remember(mean, variance)
                return neuron.fired(found)
        y = self(inputs, training=training)
        return y if neuron is None else neuron(y)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(scale, shift) of what it is at inference, y = x * scale + shift: one number a channel each, in float64."""
        gamma, beta, mean, variance = (
            np.asarray(ops.convert_to_numpy(v), "float64")
            for v in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        scale = gamma / np.sqrt(variance + self.epsilon)
        return scale, beta - mean * scale

    def _remember(self, mean: PerChannel, variance: PerChannel) -> None:
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.moved(moving, batch))

    def moved(self, moving: keras.Variable, batch: PerChannel) -> PerChannel:
        """What stored moments become by those of a batch."""
        batch = ops.stop_gradient(batch)
        if keras.backend.standardize_dtype(batch.dtype) != moving.dtype:
            batch = ops.cast(batch, moving.dtype)
        # tensors, not Keras' operators: four layers of calls each, for so many numbers as there are channels
        return moving.value * self.momentum + batch * (1.0 - self.momentum)


def watched(*layers: keras.layers.Layer) -> bool:
    """Whether somebody has put a function in place of a layer's own call, or hooked it (torch)."""
    return any(
        "call" in vars(layer)
        or bool(getattr(layer, "_forward_hooks", None))
        or bool(getattr(layer, "_forward_pre_hooks", None))
        for layer in layers
    )
