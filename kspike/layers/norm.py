"""Batch normalisation over batch and time together."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kspike.layers.lif import LIF, PLIF
from kspike.ops import batch_norm, norm_lif


@keras.saving.register_keras_serializable(package="kspike")
class BatchNorm(keras.layers.BatchNormalization):
    """Normalises the last axis by moments over all others, batch and time jointly (no temporal normalisation).

    Keras' layer with Spikformer's constants (momentum 0.9 here is 0.1 in PyTorch's counting; epsilon 1e-5) and
    float32 moments in two passes, or the backend's fused form. Departure from PyTorch: the moving variance is the
    biased one, as in Keras; over batch x time x tokens samples the difference is below 0.1 % in practice.

    Input and output shape: `(batch, time, ..., channels)`.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        fixed = {"axis": -1, "center": True, "scale": True, "renorm": False, "synchronized": False}
        for name, only in fixed.items():
            if kwargs.get(name, only) != only:
                raise ValueError(f"kspike's BatchNorm has {name}={only!r} alone, got {kwargs[name]!r}; use Keras' own.")
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        y, mean, variance = batch_norm(inputs, self.gamma, self.beta, self.epsilon)
        self._remember(mean, variance)
        return ops.cast(y, self.compute_dtype)

    def then_fire(self, neuron: Any, inputs: Any, training: bool | None = None) -> Any:
        """neuron(self(inputs)): in one pass each way where the backend has one, and nobody listens in between."""
        if type(neuron) in (LIF, PLIF) and not watched(self, neuron):
            moments = None if training and self.trainable else (self.moving_mean, self.moving_variance)
            done = norm_lif(inputs, self.gamma, self.beta, moments, self.epsilon, **neuron.arguments(inputs.shape[-1]))
            if done is not None:
                found, mean, variance = done
                if moments is None:
                    self._remember(mean, variance)
                return neuron.fired(found)
        y = self(inputs, training=training)
        return y if neuron is None else neuron(y)

    def _remember(self, mean: Any, variance: Any) -> None:
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            batch = ops.stop_gradient(batch)
            if keras.backend.standardize_dtype(batch.dtype) != moving.dtype:
                batch = ops.cast(batch, moving.dtype)
            # tensors, not Keras' operators: four layers of calls each, for so many numbers as there are channels
            moving.assign(moving.value * self.momentum + batch * (1.0 - self.momentum))


def watched(*layers: Any) -> bool:
    """Whether somebody has put a function in place of a layer's own call, or hooked it (torch), in any of these."""
    hooks = "_forward_hooks", "_forward_pre_hooks"
    return any("call" in vars(layer) or any(getattr(layer, name, None) for name in hooks) for layer in layers)
