"""grad_norm: the gradient norm of an untrained network on one batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kspike.ops import gradients
from kspike.tuners.scores.base import Bound, Score


class GradNorm(Score):
    """Sums the Euclidean norms of the gradient of every kernel, after one batch and before any training.

        score = sum over kernels W of || dL / dW ||_2        L = mean cross-entropy of the batch

    Gradients pass through spikes by the config's surrogate; normalisation uses batch statistics.

    Source: Abdelfattah et al., ICLR 2021 (zero-cost proxies), where convolutions and linear layers count, as here.
    """

    name = "grad_norm"
    source = "Abdelfattah et al., Zero-cost proxies for lightweight NAS, ICLR 2021; through surrogate gradients"

    def on(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Bound:
        kernels, others = kernels_of(model)
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def loss(images: Any, labels: Any) -> tuple:
            return entropy(labels, model(images, training=True)), []

        run = gradients(loss, kernels, others)

        def measure() -> dict[str, float]:
            _, found = run(images, labels)
            arrays = [ops.convert_to_numpy(g).astype(np.float64) for g in found]
            return {self.name: float(sum(np.linalg.norm(a.ravel()) for a in arrays))}

        return measure


def kernels_of(model: keras.Model) -> tuple[list, list]:
    """(kernels of all products, every other variable)."""
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    chosen = {id(v) for v in kernels}
    return kernels, [v for v in model.variables if id(v) not in chosen]
