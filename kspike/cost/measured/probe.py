"""A model's forward pass compiled together with its hooks, once for every model and batch shape."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kspike.config import SpikformerConfig
from kspike.cost.analytic.table import table
from kspike.cost.measured import layers as measured_layers
from kspike.cost.measured import left_out
from kspike.cost.measured.anytime import Reader
from kspike.cost.measured.fanout import ProductSize
from kspike.cost.measured.recorder import Recorder, Signal
from kspike.layers import DirectEncoding
from kspike.layers.neuron import SpikingNeuron
from kspike.ops import compiles, jit, place, watched
from kspike.ops.watching import Ran

#: Model -> its probe. Weak, and a probe holds its model weakly: measuring keeps no model alive.
_PROBES: weakref.WeakKeyDictionary[keras.Model, Probe] = weakref.WeakKeyDictionary()


class Probe:
    """Runs batches of images through a model and returns the packed statistics of every recorded signal."""

    #: Whether to look for products that no row counts.
    watches = True

    def __init__(self, model: keras.Model) -> None:
        self._model = weakref.ref(model)
        self.timesteps, self.static = _time_of(model)
        self.taps, self._static = measured_layers.find(model, _is_neuron, _known(model))
        self.places = left_out.places(model, self.taps)
        self._identity = _identity(model)
        self._reader = Reader(model)
        self._signals: dict[tuple[int, ...], tuple[Signal, ...]] = {}
        self._counted: dict[tuple[int, ...], dict[int, int | None]] = {}
        self._ran: dict[tuple[int, ...], list[Ran]] = {}
        self._shape: tuple[int, ...] = ()
        #: What shapes and weights say of a product, found once a measurement: eager batches have it in common.
        self._sizes: dict[tuple, ProductSize] = {}
        #: Whether a pass marks its places: a compiled one is traced once for all, an eager one where it is watched.
        self._marked = compiles()
        self._run = jit(self._forward, model.variables)

    def fits(self, model: keras.Model) -> bool:
        """Whether the model still consists of the layers that were compiled."""
        return self._identity == _identity(model)

    def _forward(self, images: Any) -> dict[str, Any]:
        model = self._model()
        recorder = Recorder(int(images.shape[0]), _time_of(model)[0], {} if compiles() else self._sizes)
        with recorder.hooked(self.places, self._marked), self._reader.hooked() as seen, place(left_out.MODEL):
            outputs = model(images, training=False)  # type: ignore[misc]
        # Python runs here only while tracing (on torch, always): what does not depend on values is kept by shape
        self._signals[tuple(images.shape)] = tuple(recorder.signals)
        self._counted[tuple(images.shape)] = recorder.counted
        logits = self._reader.logits(seen, outputs)
        return recorder.packed() | ({} if logits is None else {"logits": logits})

    def run(self, images: np.ndarray) -> tuple[tuple[Signal, ...], dict[str, np.ndarray]]:
        """(signals, their packed statistics) of one batch."""
        # eager batches of every size run the same products
        if not self.watches or (images.shape in self._ran if compiles() else self._ran):
            out = self._run(images)
        else:
            out, self._ran[images.shape] = self._watched(images)
        if images.shape in self._ran:
            self._shape = images.shape
        return self._signals[images.shape], {k: keras.ops.convert_to_numpy(v) for k, v in out.items()}

    def _watched(self, images: np.ndarray) -> tuple[dict[str, Any], list[Ran]]:
        self._marked = True
        try:
            return watched(self._run, (images,))
        finally:
            self._marked = compiles()

    def begin(self) -> None:
        """Begins a measurement: weights, and which network of a supernet is active, may be others than last time.

        The first batch's products are recorded again if nothing is compiled and a user's layer may have changed.
        """
        self._sizes.clear()
        if not compiles() and any(place.own for place in self.places):
            self._ran.clear()

    def notes(self) -> tuple[str, ...]:
        """What the rows of the batches that were run leave out."""
        ran, counted = self._ran[self._shape], self._counted[self._shape]
        return left_out.notes(self.places, self._static, ran, counted, self._shape[0])

    def multiplying(self) -> set[str]:
        """Paths of the layers in which products ran."""
        return {self.places[each.place].name for ran in self._ran.values() for each in ran}


def probe_of(model: keras.Model) -> Probe:
    """The model's probe, made at the first call, and made again when its layers have changed."""
    probe = _PROBES.get(model)
    if probe is None or not probe.fits(model):
        probe = _PROBES[model] = Probe(model)
    return probe


def is_supernet(model: Any) -> bool:
    """Whether a model's layers are wider than the network that is active in it, as in `kspike.Supernet`."""
    return hasattr(model, "genome") and hasattr(model, "space")


def config_of(model: Any) -> SpikformerConfig | None:
    """The architecture that a model runs now; None if it has no `SpikformerConfig`."""
    config = getattr(model, "config", None)
    return config if isinstance(config, SpikformerConfig) else None


def _is_neuron(layer: Any) -> bool:
    return isinstance(layer, SpikingNeuron)


def _known(model: Any) -> dict[str, str]:
    """Path -> role, of a supernet's layers: elastic ones are found by their paths, whatever class they are."""
    if not is_supernet(model):
        return {}
    return {row.name: row.kind for row in table(model.space.max_config()) if row.kind in ("conv", "dense")}


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    return iter(model._flatten_layers(include_self=False))


def _identity(model: keras.Model) -> tuple:
    """What a compiled pass depends on: LoRA adds variables, quantisation changes the method, `add` adds a layer."""
    layers = tuple((id(layer), getattr(layer, "quantization_mode", None)) for layer in _layers(model))
    return layers, tuple(id(variable) for variable in model.variables)


def _time_of(model: keras.Model) -> tuple[int | None, bool]:
    """(T, whether the input is a still image that the model repeats)."""
    if is_supernet(model):
        # on slices (torch) it runs as many steps as the active genome has; under masks, as many as the longest
        config = model.space.max_config() if model.masked else model.config
        return config.timesteps, not config.has_time
    encodings = [layer for layer in _layers(model) if isinstance(layer, DirectEncoding)]
    if encodings:
        return encodings[0].timesteps, True
    shape = model.input_shape
    spiking = any(_is_neuron(layer) for layer in _layers(model))
    return (shape[1] if spiking and isinstance(shape, tuple) and len(shape) > 2 else None), False
