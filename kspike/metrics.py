"""The firing rate of a model's neurons, as a Keras metric."""

from __future__ import annotations

import weakref
from typing import Any

import keras
from keras import ops

from kspike.layers.neuron import SpikingNeuron

__all__ = ["FiringRate"]


@keras.saving.register_keras_serializable(package="kspike", name="FiringRateMetric")
class FiringRate(keras.metrics.Mean):
    """Averages the spikes of all of a model's neurons, a neuron and time step, over the images of an epoch.

        rate = sum of the spikes of all neuron layers / (images * neurons * time steps)

    In `fit` it follows the training images, under dropout and with the batch's statistics, as val_... the validation
    images. Spikes stay inside the model, so the metric hooks its neurons: it needs the model, and reads nothing from
    labels or logits. Of integer neurons it is the mean level: spikes a neuron and binary step (`kspike.models.unroll`).

    Args:
        model: whose neurons to measure; any built keras.Model that holds neuron layers of kspike.
        layers: names or paths of the neuron layers to measure; None for all.
        name: in logs.
        dtype: of the sums.

    Raises:
        ValueError: no model, no neuron in it, or, when it is used, a metric that came from a file: a file holds no
            model, compile anew.

    Example:
        >>> import kspike
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
        >>> model = kspike.Spikformer(config)
        >>> model.compile("adam", "mse", metrics=[kspike.metrics.FiringRate(model)])
    """

    def __init__(
        self, model: keras.Model | None = None, layers: Any = None, name: str = "firing_rate", dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.layers = None if layers is None else [str(layer) for layer in layers]
        self._attached = model is not None
        if model is not None:
            _attach(self, model)

    def update_state(self, y_true: Any = None, y_pred: Any = None, sample_weight: Any = None) -> None:
        """Does nothing: the sums are formed where the loss is, by `take` (only there do all backends keep them)."""
        if not self._attached:
            raise ValueError(
                "This FiringRate belongs to no model (it came from a file, or was made without one): compile the model "
                "again, with metrics=[kspike.metrics.FiringRate(model)]."
            )

    def take(self, rate: Any, images: int | Any) -> None:
        """Adds the mean rate of a batch of that many images."""
        super().update_state(rate, sample_weight=images)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "layers": self.layers}


class _RateRecorder:
    """Holds the firing rates of one call of the model until the loss of the same call is computed."""

    def __init__(self) -> None:
        self.metrics: weakref.WeakSet[FiringRate] = weakref.WeakSet()
        self.rates: dict[str, tuple[Any, int]] = {}
        self.outputs: Any = None

    def add(self, name: str, spikes: Any) -> None:
        size = 1
        for n in spikes.shape[1:]:
            size *= int(n)
        rate = ops.mean(ops.cast(ops.stop_gradient(spikes), "float32"))
        before = self.rates.get(name)
        if before is not None:  # a layer that runs twice
            rate, size = (rate * size + before[0] * before[1]) / (size + before[1]), size + before[1]
        self.rates[name] = (rate, size)

    def update_metrics(self) -> None:
        images = ops.shape(_first(self.outputs))[0]
        for metric in self.metrics:
            rates = [v for name, v in self.rates.items() if metric.layers is None or _named(name, metric.layers)]
            if rates:
                total = sum(size for _, size in rates)
                metric.take(sum(rate * (size / total) for rate, size in rates), images)


def _attach(metric: FiringRate, model: keras.Model) -> None:
    """Hooks the model's neurons, its call and its loss; one recorder a model, however many metrics there are."""
    neurons = dict(_neurons(model))
    if not neurons:
        raise ValueError(f"{model.name} holds no neuron layer of kspike: there is no firing to measure.")
    for layer in metric.layers or ():
        if not any(_named(name, [layer]) for name in neurons):
            raise ValueError(f"{model.name} has no neuron layer {layer!r}; it has {', '.join(neurons)}.")
    recorder = vars(model).get("_kspike_rates")
    if recorder is None:
        recorder = _RateRecorder()
        call, compute_loss = model.call, model.compute_loss

        def recording_call(*args: Any, **kwargs: Any) -> Any:
            recorder.rates = {}
            recorder.outputs = call(*args, **kwargs)
            return recorder.outputs

        def updating_loss(*args: Any, **kwargs: Any) -> Any:
            # Keras also computes a loss of dummy outputs, to build its state: those have no spikes
            outputs = args[2] if len(args) > 2 else kwargs.get("y_pred")
            if outputs is recorder.outputs and recorder.rates:
                recorder.update_metrics()
            return compute_loss(*args, **kwargs)

        # Into the instance's own dict: Keras' and torch's __setattr__ would track or refuse a function.
        vars(model).update(_kspike_rates=recorder, call=recording_call, compute_loss=updating_loss)
        for name, neuron in neurons.items():
            vars(neuron)["listener"] = lambda spikes, name=name: recorder.add(name, spikes)
    recorder.metrics.add(metric)


def _neurons(model: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
    return [(layer.path, layer) for layer in model._flatten_layers() if isinstance(layer, SpikingNeuron)]


def _named(path: str, names: list[str]) -> bool:
    return any(path == name or path.endswith(f"/{name}") for name in names)


def _first(outputs: Any) -> Any:
    return keras.tree.flatten(outputs)[0]
