"""A callback that measures firing and energy after every epoch and adds them to Keras' logs."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from kspike.cost import Convention, EnergyReport, measure
from kspike.cost.conventions.base import get


class FiringRates(keras.callbacks.Callback):
    """Measures the firing rate of every neuron layer after each epoch, on images of your choice, and logs it.

    The logs get `firing_rate` (all neurons; `measured_firing_rate` where a metric has that name), `energy_mj`, and
    `firing_rate/PATH` for each neuron layer. Keras passes one dict of logs from callback to callback, so callbacks
    behind this one in the list receive them: `History` always, `keras.callbacks.CSVLogger`, and
    `keras.callbacks.TensorBoard`, which draws a curve a layer (it needs TensorFlow, on any backend; kspike does not). A
    layer that becomes silent or saturated gives a warning, once.

    The images run through the model in inference mode, compiled once: one batch costs a forward pass an epoch.

    Args:
        data: as `kspike.cost.measure` takes it: a split of a data set, (images, labels) or images. Take training or
            validation images, not the test's.
        images: how many of them at most, the first ones; None for all.
        every: epochs from one measurement to the next.
        convention: how `energy_mj` is charged; one that charges no energy logs none.
        layers: whether each layer has a curve of its own.

    Raises:
        ValueError: an unknown convention, or a number below 1.

    Example:
        >>> import kspike                                                       # doctest: +SKIP
        >>> rates = kspike.training.FiringRates(data.validation, images=256)
        >>> model.fit(data.train, epochs=10, callbacks=[rates, keras.callbacks.TensorBoard("logs")])
    """

    def __init__(
        self,
        data: Any,
        images: int | None = 256,
        every: int = 1,
        convention: str | Convention = "spikformer",
        layers: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("images", images), ("every", every)):
            if isinstance(value, bool) or not (isinstance(value, int) or (value is None and name == "images")):
                raise ValueError(f"FiringRates: {name} expected a whole number, received {value!r}.")
            if value is not None and value < 1:
                raise ValueError(f"FiringRates: {name} expected at least 1, received {value!r}.")
        self.data, self.images, self.every, self.layers = data, images, every, bool(layers)
        self.convention = get(convention)
        #: The newest measurement, with everything a report has: `callback.report.to_html("firing.html")`.
        self.report: EnergyReport | None = None
        self._warned: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self.every:
            return
        self.report = measure(self.model, self.data, self.convention, progress=False, images=self.images)
        found = {"firing_rate": self.report.firing_rate}
        if not self.convention.free:
            found["energy_mj"] = self.report.energy_mj
        if self.layers:
            found |= {f"firing_rate/{row.name}": row.rate for row in self.report.neurons}
        if logs is not None:
            # a metric of that name averages over the training images; this is another quantity
            logs.update({f"measured_{name}" if name in logs else name: value for name, value in found.items()})
        new = {*self.report.silent, *self.report.saturated} - self._warned
        if new:
            self._warned |= new
            warnings.warn(f"After epoch {epoch + 1}: {' '.join(self.report.advice())}", stacklevel=2)
