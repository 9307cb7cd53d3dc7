"""synflow: how much signal the weights of an untrained network pass on, independent of data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike.cost.measured.recorder import replaced
from kspike.layers import SpikformerBlock, border
from kspike.layers.component import ComponentLayer
from kspike.layers.neuron import SpikingNeuron
from kspike.layers.norm import BatchNorm
from kspike.ops import gradients
from kspike.tuners.scores.base import Bound, Score, layers_of
from kspike.tuners.scores.grad_norm import kernels_of


class Synflow(Score):
    """Sums the flow through every weight, from an image of ones to the logits:

        R = sum of logits, all weights taken by their absolute value, on an image of ones
        score = ln( sum over weights w of |w dR/dw| )

    Source: SynFlow (Tanaka et al., NeurIPS 2020); as a search's score Abdelfattah et al., ICLR 2021. It assumes
    a linear network, which a spiking one is not. Departures: neurons and normalisation are identities (as ReLU is
    for positive numbers); attention, a product of three, returns the mean of its values over the tokens, so that the
    weights of q and k do not count; the logarithm is taken, because the sum leaves float32 within a few blocks
    (the stream is scaled down after every block by a constant, and the constants' logarithms are added).

    Heads, thresholds and time constants do not change it, and neither does T.
    """

    name = "synflow"
    source = "SynFlow (Tanaka et al., NeurIPS 2020); Abdelfattah et al., ICLR 2021; neurons as identities"

    def on(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Bound:
        kernels, others = kernels_of(model)

        def flow(ones: Any) -> tuple:
            scales: list = []
            with replaced(_linear(model, scales)):
                return ops.sum(model(ones, training=False)), ops.stack(scales)

        run = gradients(flow, kernels, others)
        ones = np.ones_like(images[:1])

        def measure() -> dict[str, float]:
            before = [np.array(ops.convert_to_numpy(k)) for k in kernels]
            try:
                for kernel, values in zip(kernels, before, strict=True):
                    kernel.assign(np.abs(values))
                scales, found = run(ones)
            finally:
                for kernel, values in zip(kernels, before, strict=True):
                    kernel.assign(values)
            through = sum(
                float(np.abs(values * ops.convert_to_numpy(g)).sum(dtype=np.float64))
                for values, g in zip(before, found, strict=True)
            )
            scale = float(np.log(ops.convert_to_numpy(scales).astype(np.float64)).sum())
            return {self.name: math.log(through) + scale if through > 0 else -math.inf}

        return measure


def _linear(model: keras.Model, scales: list) -> list[tuple[keras.Layer, str, Callable]]:
    """Replacement methods that make a Spikformer linear; `scales` collects the constants that divide its stream."""
    same = lambda x, *args, **kwargs: x
    within = lambda x, *args, **kwargs: border.surrounded(x, ops.zeros((x.shape[-1],)))  # an identity makes 0 of 0
    calls: list[tuple[keras.Layer, str, Callable]] = []
    calls += [
        (layer, "call", within if isinstance(layer, border.BorderNorm) else same)
        for layer in layers_of(model, SpikingNeuron, BatchNorm)
    ]
    components = layers_of(model, ComponentLayer)
    calls += [(layer, "attend", _mean_value) for layer in components if hasattr(layer, "attend")]
    stream = [layer for layer in components if layer.component.role == "stem"] + layers_of(model, SpikformerBlock)
    calls += [(layer, "call", _scaled(layer.call, scales)) for layer in stream]
    return calls


def _mean_value(q: Any, k: Any, v: Any) -> Any:
    mean = ops.mean(v, axis=2, keepdims=True)
    spread = ops.broadcast_to(mean, v.shape)
    return ops.reshape(spread, (*v.shape[:3], v.shape[3] * v.shape[4]))


def _scaled(call: Callable, scales: list) -> Callable:
    def scaled(x: Any, *args: Any, **kwargs: Any) -> Any:
        y = call(x, *args, **kwargs)
        largest = ops.stop_gradient(ops.max(y))
        scales.append(largest)
        return y / largest

    return scaled
