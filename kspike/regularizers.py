"""Penalties on firing, for `activity_regularizer` of neurons and `spike_regularizer` of what holds neurons."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

__all__ = ["FiringRate"]

#: Whether Keras divides what an activity regulariser gives by the batch size, as its documentation says: 3.12 does not
#: (keras-team/keras#22018). Neurons do as their Keras does, and `FiringRate` has the same weight on both.
DIVIDED = tuple(int(n) for n in keras.__version__.split(".")[:2]) >= (3, 13)


@keras.saving.register_keras_serializable(package="kspike", name="FiringRateRegularizer")
class FiringRate(keras.regularizers.Regularizer):
    """Turns the spikes of a neuron layer into a loss that grows with the distance of its rate from a range.

        rate = mean of the spikes over batch, time and neurons
        loss = weight * (max(0, rate - upper) + max(0, lower - rate))

    This loss is added to the model's loss; a call gives batch * loss where Keras divides an activity
    regulariser by the batch size afterwards (from 3.13 on). With the defaults every spike costs: the loss is
    weight * rate. `upper` does not penalise firing below it; `lower` reactivates silent layers, which pass no spikes
    on and hardly learn by themselves, since the surrogate's tail is thin. Each layer adds a loss of its own, so a
    model's penalty is the sum over its neuron layers. Being a mean, it depends neither on the batch size nor on the
    layer's size.

    Source: upper and lower bounds on a population's activity are common in surrogate gradient learning (Zenke and
    Vogels, Neural Computation 33, 2021); the first power of the excess, and the mean in place of a sum, are ours.

    Args:
        weight: of the penalty against the loss.
        lower: firing rate below which a layer is penalised, spikes a neuron and time step, 0 to 1.
        upper: firing rate above which it is, at least `lower`.

    Input shape: `(batch, ...)`; the spikes. Output shape: none, one number in float32.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import numpy as np
        >>> from kspike.regularizers import FiringRate
        >>> spikes = np.array([[1, 0, 0, 0]], "float32")                # rate 0.25
        >>> float(FiringRate(weight=2.0, upper=0.125)(spikes))          # a batch of one
        0.25
    """

    def __init__(self, weight: float = 0.01, lower: float = 0.0, upper: float = 0.0) -> None:
        self.weight = _number("weight", weight, math.inf)
        self.lower = _number("lower", lower, 1.0)
        self.upper = _number("upper", upper, 1.0)
        if lower > 0 and upper == 0:  # a floor alone
            self.upper = 1.0
        if self.lower > self.upper:
            raise ValueError(f"FiringRate: lower expected at most upper={upper!r}, received {lower!r}.")

    def __call__(self, x: Any) -> Any:
        # half precision cannot hold the mean of many spikes
        rate = ops.mean(ops.cast(x, "float32"))
        loss = ops.relu(rate - self.upper)
        if self.lower:
            loss = loss + ops.relu(self.lower - rate)
        return self.weight * loss * (ops.cast(ops.shape(x)[0], "float32") if DIVIDED else 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "lower": self.lower, "upper": self.upper}


def activity_loss(regularizer: Any, outputs: Any) -> Any:
    """The loss that `keras.Layer.__call__` adds for these outputs, for neurons that are called without it."""
    loss = regularizer(outputs)
    return ops.divide_no_nan(loss, ops.cast(ops.shape(outputs)[0], loss.dtype)) if DIVIDED else loss


def _number(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most or math.isinf(value):
        limit = "of at least 0" if math.isinf(most) else "from 0 to 1"
        raise ValueError(f"FiringRate: {name} expected a number {limit}, received {value!r}.")
    return float(value)
