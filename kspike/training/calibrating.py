"""Measures the statistics of a model's normalisations anew, on training images; weights stay as they are."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike._batches import batches_of, check_count, unaugmented
from kspike._finite import bad_rows, bad_weights, scaled
from kspike.ops import jit


def calibrate(model: keras.Model, data: Any, batches: int | None = 16, *, frozen: bool = True) -> keras.Model:
    """Sets the mean and variance of every batch normalisation to their means over batches of training images.

    For a model whose statistics are another network's: of another T or size of image, or of averaged weights.

    Args:
        model: built.
        data: training images, never those that score: a data set's training split (read unaugmented and in fixed
            order), arrays, or batches.
        batches: how many batches are read; None for all.
        frozen: whether normalisations of frozen layers are calibrated too. They are where T or the size changed;
            behind training they are not, which ran with the statistics that they have.

    Returns:
        The model.

    Raises:
        ValueError: no normalisation to calibrate, no batch, integers, or images or statistics that are not finite. The
            statistics are then those of before.

    Example:
        >>> import kspike
        >>> data = kspike.data.load("digits")
        >>> model = kspike.zoo.load("auto_spikformer_digits")
        >>> model = kspike.training.calibrate(model, data.train, batches=2)
    """
    check_count(batches)
    if getattr(model, "quantized", False):
        raise ValueError(
            f"{model.name!r} has int8 weights, and its normalisations are taken into them. Calibrate the network that "
            "it was made of, and give that to kspike.quantize."
        )
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in norms if frozen or layer.trainable]
    if not norms:
        which = "" if frozen else " that is not frozen"
        raise ValueError(f"{model.name!r} has no batch normalisation{which}: there is nothing to calibrate.")
    data = getattr(data, "train", data)
    statistics = [variable for layer in norms for variable in (layer.moving_mean, layer.moving_variance)]
    before = [ops.convert_to_numpy(variable).copy() for variable in model.non_trainable_variables]
    kept = list(zip(model.non_trainable_variables, before, strict=True))
    moved = {id(variable) for variable in statistics}
    try:
        with _measuring(norms) as step:
            _measure(model, unaugmented(data), batches, step)
        if (bad := bad_weights(model)) is not None:
            raise ValueError(f"Expected finite statistics of normalisation; {bad}. Look at the weights.")
    except BaseException:  # Ctrl-C too: statistics of half of the layers are no network's
        for variable, value in kept:
            variable.assign(value)
        raise
    for variable, value in kept:  # seeds and the like, which a training call moves
        if id(variable) not in moved:
            variable.assign(value)
    return model


class _Rate:
    """The share of the next batch in the mean, as the layers read it while the step is traced."""

    def __init__(self, norms: list[Any]) -> None:
        self.norms = norms

    def set(self, rate: Any) -> None:
        for layer in self.norms:
            layer.momentum = 1.0 - rate


@contextlib.contextmanager
def _measuring(norms: list[Any]) -> Iterator[_Rate]:
    """Has every normalisation use and remember the statistics of the batch."""
    before = [(layer, layer.momentum, layer.trainable) for layer in norms]
    rate = _Rate(norms)
    try:
        for layer in norms:
            type(layer).trainable.fset(layer, True)  # a frozen one would use what it remembers
        yield rate
    finally:
        for layer, momentum, trainable in before:
            layer.momentum = momentum
            type(layer).trainable.fset(layer, trainable)


def _measure(model: keras.Model, data: Any, batches: int | None, rate: _Rate) -> None:
    def step(images: Any, share: Any) -> Any:
        rate.set(share)
        return ops.sum(ops.cast(model(images, training=True), "float32"))

    run = jit(step, model.variables)
    done = 0
    for batch in itertools.islice(batches_of(data), batches):
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        images = np.asarray(images if isinstance(images, np.ndarray) else ops.convert_to_numpy(images))
        scaled("calibration", images)
        if (bad := bad_rows(images)) is not None:
            raise ValueError(f"Expected finite calibration images; {bad}. Clean them first.")
        done += 1
        run(ops.convert_to_tensor(images.astype("float32", copy=False)), np.float32(1.0 / done))
    if not done:
        raise ValueError("calibrate got no batch of images; give training data with at least one batch.")
