"""Adds the statistics of batches up, and turns them into what happened at every product and every neuron."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kspike.config import SpikformerConfig
from kspike.cost.closed_form import Row
from kspike.cost.convention import Activity, Attention
from kspike.cost.recording import Signal
from kspike.cost.tables import neuron_counts, table


@dataclasses.dataclass
class Total:
    """Everything known of one signal over all images."""

    signal: Signal
    by_image: list[np.ndarray] = dataclasses.field(default_factory=list)
    by_step: Any = 0.0
    active: float = 0.0
    whole: bool = True
    largest: float = -np.inf
    raster: np.ndarray | None = None


class Statistics:
    """Sums over batches, in float64; sums of an image are kept one by one for the spread over images.

    Args:
        timesteps: T of the network that is measured, where known; steps beyond it (of a supernet) are left out.
    """

    def __init__(self, timesteps: int | None = None) -> None:
        self.images = 0
        self.timesteps = timesteps
        self.totals: dict[tuple[str, str], Total] = {}

    def add(self, signals: tuple[Signal, ...], packed: dict[str, np.ndarray], n: int) -> None:
        """Takes in one batch, of which only the first `n` images are real.

        Raises:
            ValueError: a layer received or fired values that are not finite.
        """
        at = active = product = shown = 0
        for signal in signals:
            total = self.totals.setdefault((signal.tap, signal.of), Total(signal))
            steps = min(signal.steps, self.timesteps or signal.steps)
            sums = packed["sums"][:n, at : at + steps].astype(np.float64)
            if not np.isfinite(sums).all():
                raise ValueError(
                    f"{signal.tap} sees values that are not finite: the model's weights or statistics hold nan or "
                    "infinity, or its training diverged."
                )
            total.by_image.append(sums.sum(axis=1))
            total.by_step = total.by_step + sums.sum(axis=0)
            at += signal.steps
            if signal.role == "neuron":
                size = signal.shown * signal.steps
                if not self.images:
                    total.raster = packed["raster"][shown : shown + size].reshape(signal.steps, signal.shown)
                shown += size
            else:
                total.active += float(packed["active"][:n, active : active + steps].sum(dtype=np.float64))
                smallest, largest, fraction = (float(v) for v in packed["ranges"][product])
                total.whole &= smallest >= 0 and fraction == 0
                total.largest = max(total.largest, largest)
                active += signal.steps
                product += 1
        self.images += n


@dataclasses.dataclass(frozen=True)
class Product:
    """One product over all images: what a convention sees, and its spread over images and steps.

    `by_image` and `by_step` hold arrays where `activity` holds means; `dense` of `by_step` is one step's.
    """

    activity: Activity
    by_image: Activity
    by_step: Activity
    rates: tuple[float, ...]
    active: float


@dataclasses.dataclass(frozen=True)
class Neuron:
    """One neuron layer over all images: name, updates of one image, rate, rate by step, spikes of the first image."""

    name: str
    updates: int
    rate: float
    rates: tuple[float, ...]
    raster: np.ndarray | None


def collect(
    statistics: Statistics, config: SpikformerConfig | None, strict: bool, static: bool
) -> tuple[list[Product], list[Neuron]]:
    """(products, neurons) in the order in which they ran.

    Args:
        config: the architecture, whose closed form says the counts; None where only shapes say them.
        strict: whether the closed form names everything there is (a supernet: what it does not name is not active).
        static: whether the first product sees a still image.
    """
    rows = {row.name: row for row in table(config)} if config is not None else {}
    counts = neuron_counts(config) if config is not None else {}
    products: list[Product] = []
    neurons: list[Neuron] = []
    seen: set[str] = set()
    for (name, of), total in statistics.totals.items():
        if total.signal.role == "neuron":
            if name in counts or not strict:
                neurons.append(_neuron(name, total, statistics.images, counts.get(name), config))
        elif of in ("", "q"):
            for product in _products(name, statistics, rows, strict, static and not products):
                products.append(product)
                seen.add(product.activity.name)
    missing = [name for name in rows if name not in seen]
    if strict and missing:
        raise ValueError(
            f"{missing[0]} ran nowhere in the forward pass, though the active network has it: a layer of that path, or "
            "its attend method, is missing in the supernet."
        )
    return products, neurons


def _products(name: str, statistics: Statistics, rows: dict[str, Row], strict: bool, static: bool) -> list[Product]:
    """The product of that name, or the two of an attention; none where the closed form says that it is not active."""
    if (name, "q") not in statistics.totals:
        row = rows.get(name)
        return [] if strict and row is None else [_product(name, statistics, row, static=static)]
    out = []
    for role in ("qk", "av"):
        layer, call, number = name.partition("#")
        row = rows.get(f"{layer}/{role}{call}{number}")
        if row is not None or not strict:
            out.append(_product(f"{layer}/{role}{call}{number}", statistics, row, attention=name, role=role))
    return out


def _product(
    name: str, statistics: Statistics, row: Row | None, static: bool = False, attention: str = "", role: str = ""
) -> Product:
    key = (attention, role[0] if role == "qk" else "v") if attention else (name, "")
    total = statistics.totals[key]
    mean = _Mean(total, row, statistics.images)
    inputs = {of: _Mean(statistics.totals[attention, of], row, statistics.images) for of in "qkv"} if attention else {}
    if row is not None:
        dense, tokens, head_dim = row.macs * row.steps, row.tokens, row.head_dim
    elif attention:
        tokens, _, head_dim = total.signal.shape
        dense = total.signal.elements * tokens
    else:
        dense, tokens, head_dim = total.signal.dense, 0, 0

    def activity(rate: str, dense: float = dense) -> Activity:
        means = {of: getattr(m, rate) for of, m in inputs.items()}
        at = Attention(role, **means, tokens=tokens, head_dim=head_dim) if attention else None
        kind = total.signal.role
        return Activity(name, kind, dense, getattr(mean, rate), total.whole, total.largest, static, at)

    by_step = activity("by_step", dense / len(mean.rates))
    return Product(activity("rate"), activity("by_image"), by_step, mean.rates, mean.active)


class _Mean:
    """Means of one signal over the numbers that there are: the closed form's, where inactive ones came as zeros."""

    def __init__(self, total: Total, row: Row | None, images: int) -> None:
        steps = total.signal.steps
        elements = total.signal.elements
        if row is not None:
            # a product of the still image may run once, for all steps
            steps = min(row.steps, steps)
            elements = row.elements * steps
        self.by_image = np.concatenate(total.by_image) / elements
        self.rate = float(self.by_image.mean())
        self.rates = tuple(float(s) for s in total.by_step[:steps] / (elements // steps * images))
        self.by_step = np.asarray(self.rates)
        self.active = total.active / (elements * images)


def _neuron(name: str, total: Total, images: int, count: int | None, config: SpikformerConfig | None) -> Neuron:
    steps, elements = total.signal.steps, total.signal.elements
    if count is not None and config is not None:
        steps = min(config.timesteps, steps)
        elements = count * steps
    return Neuron(
        name=name,
        updates=elements,
        rate=float(total.by_step.sum()) / (elements * images),
        rates=tuple(float(s) for s in total.by_step[:steps] / (elements // steps * images)),
        raster=None if total.raster is None else total.raster[:steps],
    )
