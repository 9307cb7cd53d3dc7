"""naswot for spikes: how differently images make an untrained network fire."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kspike.cost.measured.recorder import replaced
from kspike.layers.neuron import SpikingNeuron
from kspike.ops import jit
from kspike.tuners.scores.base import Bound, Score, layers_of, refuse_levels


class Naswot(Score):
    """Measures how differently an untrained network fires for the images of a batch: log det of a kernel of spikes.

    For every neuron layer of N neurons and every time step, with binary spikes x_i of image i and their rate s_i:

        K[i, j] += N - r H[i, j]        H[i, j] = neurons in which x_i and x_j differ
        r = 0.5 / (N (s_i (1 - s_j) + (1 - s_i) s_j) + 1e-3)
        score = log |det(K / number of layers and steps)|

    r divides the distance by the one that two independent patterns of these rates have, so that sparse layers count as
    dense ones do (sparsity-aware Hamming distance). The network runs with batch statistics, as there: with the
    initial moving statistics an untrained network is silent from its second or third layer on.

    Source: SNASNet (Kim et al., ECCV 2022) and its code; after NASWOT (Mellor et al., ICML 2021). Departures: one batch
    (the code averages two of 256); q, k and v of a block are one layer here; the matrix is added up in float64, since
    in float32 the N of a layer swallows the distances.
    """

    name = "naswot"
    source = "SNASNet (Kim et al., ECCV 2022), sparsity-aware Hamming distance; NASWOT (Mellor et al., ICML 2021)"

    def on(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Bound:
        refuse_levels(model, self.name)
        neurons = layers_of(model, SpikingNeuron)

        def forward(images: Any) -> list:
            grams: list = []
            with replaced((neuron, "call", _watched(neuron.call, grams)) for neuron in neurons):
                model(images, training=True)
            return grams

        run = jit(forward, model.variables)
        return lambda: {self.name: log_determinant([ops.convert_to_numpy(g) for g in run(images)])}


def _watched(call: Any, grams: list) -> Any:
    def watched(x: Any, *args: Any, **kwargs: Any) -> Any:
        spikes = call(x, *args, **kwargs)
        flat = ops.reshape(ops.cast(spikes, "float32"), (*spikes.shape[:2], -1))
        # Common spikes of every pair, whole numbers, and so exact in float32; the last column is N.
        common = ops.einsum("itn,jtn->tij", flat, flat)
        size = ops.full((*common.shape[:2], 1), flat.shape[-1], dtype="float32")
        grams.append(ops.concatenate([common, size], axis=-1))
        return spikes

    return watched


def log_determinant(grams: list[np.ndarray]) -> float:
    """The score of common spikes `(T, images, images + 1)` of every layer, N in the last column; -inf if all is silent.

    Args:
        grams: one array a neuron layer: spikes that two images have in common, by time step, then N.
    """
    total: Any = 0.0
    calls = 0
    for gram in grams:
        common, n = gram[:, :, :-1].astype(np.float64), float(gram[0, 0, -1])
        spikes = np.diagonal(common, axis1=1, axis2=2)
        s, z = spikes[:, :, None] / n, spikes[:, None, :] / n
        distance = n * (s + z) - 2 * common
        expected = n * (s * (1 - z) + (1 - s) * z)
        total = total + (n - 0.5 / (expected + 1e-3) * distance).sum(0)
        calls += len(gram)
    return float(np.linalg.slogdet(total / calls)[1])
