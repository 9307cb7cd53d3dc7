"""Turns the totals of recorded signals into the activity of every product and every neuron."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from kspike.config import SpikformerConfig
from kspike.cost.analytic.rows import Row
from kspike.cost.analytic.table import ClosedForm
from kspike.cost.measured.attribution import attribute_surroundings
from kspike.cost.measured.products import MeasuredProduct, ProductActivity
from kspike.cost.measured.totals import Statistics, Tally, Total


@dataclasses.dataclass(frozen=True)
class Neuron:
    """One neuron layer over all images: name, updates of one image, rate, also by step, raster, sums."""

    name: str
    updates: int
    rate: float
    rates: tuple[float, ...]
    raster: np.ndarray | None
    spikes: Tally


def collect(
    statistics: Statistics,
    closed: ClosedForm | None,
    strict: bool,
    static: bool,
    multiplying: Collection[str] = (),
) -> tuple[list[ProductActivity], list[Neuron]]:
    """(products, neurons) in the order in which they ran.

    Args:
        closed: the network in closed form, which gives the counts; None where they follow from shapes alone.
        strict: whether the closed form names every layer (a supernet: what it does not name is not active).
        static: whether the first product sees a still image.
        multiplying: paths of the layers in which products ran.
    """
    rows = {row.name: row for row in closed.rows} if closed is not None else {}
    counts, config = (closed.neurons, closed.config) if closed is not None else ({}, None)
    own = _own_neurons(statistics, multiplying)
    neurons = [
        _neuron(name, total, statistics.images, counts.get(name), config)
        for (name, _), total in statistics.totals.items()
        if (total.signal.role == "neuron" or (total.signal.role == "possible_neuron" and name in own))
        and (name in counts or not strict)
    ]
    found = [
        each
        for (name, of), total in statistics.totals.items()
        if total.signal.role in ("conv", "dense", "attention") and of in ("", "q")
        for each in _products(name, statistics, rows, strict)
    ]
    seen = [each.name for each in found]
    around = attribute_surroundings(seen, statistics, neurons, rows if strict else {}, closed)
    products = [each.over_images(around.get(each.name, []), static and i == 0) for i, each in enumerate(found)]
    missing = [name for name, row in rows.items() if row.kind != "other" and name not in seen]
    if strict and missing:
        raise ValueError(
            f"{missing[0]} ran nowhere in the forward pass, though the active network has it: a layer of that path, or "
            "its attend method, is missing in the supernet."
        )
    return products, neurons


def _own_neurons(statistics: Statistics, multiplying: Collection[str]) -> set[str]:
    """User-defined layers that behave as neurons: their output is 0 and 1 alone, their input is not.

    A layer whose input is 0 and 1 too counts as a neuron if a product runs inside it; else it only passes spikes on, as
    a pool does. A layer that contains a neuron (the inner layers ran before it) is no further one.
    """
    inner = [name for (name, _), total in statistics.totals.items() if total.signal.role == "neuron"]
    found: set[str] = set()
    for (call, _), total in statistics.totals.items():
        if total.signal.role != "possible_neuron" or not total.binary or not total.sums.total:
            continue
        name = call.partition("#")[0]
        works = any(path == name or path.startswith(f"{name}/") for path in multiplying)
        if (works or not total.from_binary) and not any(path.startswith(f"{name}/") for path in [*inner, *found]):
            found.add(call)
    return found


def _products(name: str, statistics: Statistics, rows: dict[str, Row], strict: bool) -> list[MeasuredProduct]:
    """The product of that name, or the two of an attention; none if the closed form says that it is not active."""
    totals, images = statistics.totals, statistics.images
    if (name, "q") not in totals:
        row = rows.get(name)
        return [] if strict and row is None else [MeasuredProduct(name, totals[name, ""], {}, "", row, images)]
    layer, call, number = name.partition("#")
    inputs = {of: totals[name, of] for of in "qkv"}
    out = []
    for role, of, other in (("qk", "q", "av"), ("av", "v", "qk")):
        path, beside = (f"{layer}/{each}{call}{number}" for each in (role, other))
        if path in rows or not strict:
            row, other_row = rows.get(path), rows.get(beside)
            out.append(MeasuredProduct(path, inputs[of], inputs, role, row, images, other_row))
    return out


def _neuron(name: str, total: Total, images: int, count: int | None, config: SpikformerConfig | None) -> Neuron:
    steps, elements = total.signal.steps, total.signal.elements
    if count is not None and config is not None:
        steps = min(config.timesteps, steps)
        elements = count * steps
    return Neuron(
        name=name,
        updates=elements,
        rate=total.sums.total / (elements * images),
        rates=tuple(float(s) for s in total.sums.by_step[:steps] / (elements // steps * images)),
        raster=None if total.raster is None else total.raster[:steps],
        spikes=total.sums,
    )
