"""energy and synops: energy and synaptic operations of an untrained network, from its firing on real images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kspike.components.parts import Sum
from kspike.config import SpikformerConfig
from kspike.cost.analytic.table import ClosedForm
from kspike.cost.conventions.base import Convention, charging, get
from kspike.cost.measured.collect import Statistics, collect
from kspike.cost.measured.probe import Probe, config_of
from kspike.cost.measured.recorder import Recorder
from kspike.cost.report.rows import EnergyRow, NeuronRow, neuron_rows, product_rows
from kspike.tuners.scores.base import Bound, Score, refuse_levels


class Energy(Score):
    """Measures the expected energy of one image, in millijoules, from the firing of the untrained network.

    Every product is charged by its measured input, as `kspike.cost.measure` does and by the same conventions, but with
    the statistics of the batch: with the initial moving statistics (mean 0, variance 1) an untrained network is silent
    from its second or third layer on. No layer is charged by its name: AutoST's position encoding, for one, has no
    neuron before it, receives potentials, and multiplies.

    Also returns `silent_layers`, the number of neuron layers without a spike, and `silent`, 1 if no information can
    pass: a stage of the stem, or every neuron of a block, never fires.

    Source: AutoST v1 (Wang et al., 2023) proposes energy from activation patterns at initialisation; neither formula
    nor code could be read, so this is ours.

    Args:
        convention: how operations are charged (`kspike.cost.conventions()`).

    Raises:
        ValueError: an unknown convention, or one that counts operations and charges no energy.
    """

    name = "energy"
    direction = "min"
    source = "ours, after AutoST v1's proposal, whose formula is not public; charged by kspike.cost's conventions"

    def __init__(self, convention: str | Convention = "spikformer") -> None:
        self.convention = charging(convention, "a score of energy") if self.metric == "energy_mj" else get(convention)

    @property
    def metric(self) -> str:
        return "energy_mj"

    def on(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Bound:
        refuse_levels(model, self.name)
        probe = _Untrained(model)
        config = config_of(model)
        closed = None if config is None else ClosedForm(config)

        def measure() -> dict[str, float]:
            signals, packed = probe.run(images)
            statistics = Statistics(config.timesteps if config is not None else None)
            statistics.add(signals, packed, len(images))
            products, neurons = collect(statistics, closed, strict=False, static=probe.static)
            rows = product_rows(products, self.convention)
            silent = [row for row in neuron_rows(neurons) if row.silent]
            return {
                self.name: self._total(rows),
                "silent_layers": float(len(silent)),
                "silent": float(is_silent(neuron_rows(neurons), config)),
            }

        return measure

    def _total(self, rows: Sequence[EnergyRow]) -> float:
        return sum(row.energy_uj for row in rows) * 1e-3


class Synops(Energy):
    """Counts the accumulations of one image in an untrained network: its synaptic operations; more is better.

    Unlike a dense count of operations it depends on thresholds and time constants, since each product counts by the
    spikes in its input. How well it ranks is in docs/results/proxies_inherited.md. It is close to `energy` with the
    opposite sign, since a network that fires more costs more: constrain the energy, or give it a weight.

    Also returns `silent_layers` and `silent`, as `Energy`.

    Source: ours.

    Args:
        convention: what is an accumulation (`kspike.cost.conventions()`).
    """

    name = "synops"
    direction = "max"
    source = "ours: accumulations as kspike.cost counts them, before training"

    @property
    def metric(self) -> str:
        return self.name

    def _total(self, rows: Sequence[EnergyRow]) -> float:
        return sum(row.acs for row in rows)


class _Untrained(Probe):
    """A probe that runs with the statistics of the batch."""

    watches = False

    def _forward(self, images: Any) -> dict[str, Any]:
        model = self._model()
        recorder = Recorder(int(images.shape[0]), self.timesteps)
        with recorder.hooked(self.places, marked=False):
            model(images, training=True)  # type: ignore[misc]
        self._signals[tuple(images.shape)] = tuple(recorder.signals)
        return recorder.packed()


def is_silent(neurons: tuple[NeuronRow, ...], config: SpikformerConfig | None) -> bool:
    """Whether a stage of the stem (which no shortcut bypasses), or every neuron of some block, never fires."""
    places: dict[str, list[bool]] = {}
    for row in neurons:
        place = row.name if row.name.startswith("stem") else row.name.split("/")[0]
        places.setdefault(place, []).append(row.silent)
    # what is added to the output of a neuron, as to a position encoding's, has a way around it
    parts = list(config.stem_parts.items()) if config is not None else []
    added = {f"stem/{name}" for (name, _), (_, after) in itertools.pairwise(parts) if isinstance(after, Sum)}
    return any(all(silent) for place, silent in places.items() if place not in added)
