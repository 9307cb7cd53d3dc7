"""The cost of every layer of a Spikformer in closed form, for one network or a whole population."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from kspike._stages import Place
from kspike.cost.analytic.declared import Declared, Dimensions, count
from kspike.cost.analytic.sizes import Sizes


@dataclasses.dataclass(frozen=True)
class Row:
    """What one product of the network costs, for one image and one time step (the head: for one image).

    Whatever stands around a product is booked on its row: normalisation, neuron and pool after it, the bias in it, the
    residual sum it ends in, and what stands before the first product of a component (the neuron before it, where the
    shortcut is "membrane"). All rows of a network add up to it.

    Args:
        name: path of the layer in the model, as its component names it: "stem/conv_0", "block_0/attention/qkv" (the
            mixer's parts, whatever its name). Products of activations have a path of their own,
            "block_0/attention/qk" and "block_0/attention/av".
        kind: "conv", "dense", "attention" (a product of two activations), or "other" for a component without products,
            whose parts all count on one row, by the name of the first, with no macs.
        steps: how often it runs for an image: T, or 1 for the head (T where the mean over time follows it).
        macs: multiply-accumulates of the dense product, padding included (k * k * Cin * Cout * H * W for a
            convolution; k * k * C * H * W where each channel is by itself). Attention in the stated order, Q K^T and
            then A V: N * N * D each, times the time steps whose tokens meet.
        parameters: trainable numbers (kernel, bias, gamma and beta, neurons' learned weights).
        elements: numbers in its input (in q for "qk", in v for "av").
        neurons: membranes updated.
        normalised: numbers that go through normalisation.
        pooled: numbers that go into a max-pool.
        additions: operations not named above: biases, residual sums, the scaling of attention, the averages before the
            head.
        tokens, head_dim: of an attention product: tokens that each token meets, and channels of one head of what the
            product beside it takes (of v for "qk", of q and k for "av"), so that elements * head_dim are the operations
            of K^T V, and of Q (K^T V).

    Numbers are Python ints for one network, int64 arrays `(n,)` for a population (0 where a network does not have it).
    """

    name: str
    kind: str
    steps: Any
    macs: Any
    parameters: Any
    elements: Any
    neurons: Any = 0
    normalised: Any = 0
    pooled: Any = 0
    additions: Any = 0
    tokens: Any = 0
    head_dim: Any = 0

    def flops(self, counting: str = "syops") -> Any:
        """Operations of one image over all time steps, as `kspike.cost.flops` counts them: all rows add up to that.

        Raises:
            ValueError: an unknown counting.
        """
        if counting not in ("syops", "full"):
            raise ValueError(f"Unknown counting {counting!r}; known: syops, full.")
        around = 2 * self.normalised + self.neurons + self.pooled
        if counting == "syops":
            return self.steps * (around + (0 if self.kind == "attention" else self.macs))
        return self.steps * (around + self.macs + self.additions)

    def scaled(self, factor: Any) -> Row:
        """Every number times a factor: ones make arrays of them all, a mask takes out what is not there."""
        return dataclasses.replace(self, **{name: getattr(self, name) * factor for name in NUMBERS})


NUMBERS = tuple(field.name for field in dataclasses.fields(Row) if field.name not in ("name", "kind"))


def rows(sizes: Sizes) -> Iterator[Row]:
    """Lists the rows of a population in the order in which they run, blocks up to the deepest network's."""
    for row, there in terms(sizes):
        yield row.scaled(there)


def terms(sizes: Sizes) -> Iterator[tuple[Row, np.ndarray]]:
    """`rows` before they are scaled: a row of every layer, and in which networks it is (1, else 0), `(n,)`.

    A number may be an int where all networks have the same.
    """
    for place, index, there in sizes.places():
        for row in _placed(sizes, place, index, there):
            yield row, there
    d, classes = sizes.embed_dim[:, -1], sizes.classes
    average = sizes.tokens[:, -1] * d
    steps = np.where(sizes.averages_logits > 0, sizes.timesteps, 1)
    head = Row(
        name="head",
        kind="dense",
        steps=steps,
        macs=d * classes,
        parameters=d * classes + classes,
        elements=d,
        # its bias; the average over tokens, then time, or over time behind it
        additions=np.where(sizes.averages_logits > 0, 2 * classes + average, classes + sizes.timesteps * average),
    )
    yield head, np.ones_like(sizes.timesteps)


def _placed(sizes: Sizes, place: Place, index: np.ndarray, there: np.ndarray) -> Iterator[Row]:
    """The rows of what stands in one place: each declaration's on the networks that have it there."""
    declared = sizes.declared[place.field]
    if len(declared) == 1:
        yield from _of(sizes, place, declared[0], slice(None))
        return
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for i in np.unique(index[there > 0]):
        some = np.flatnonzero((index == i) & (there > 0))
        for row in _of(sizes, place, declared[i], some):
            numbers = found.setdefault((row.name, row.kind), {n: np.zeros_like(there) for n in NUMBERS})
            for name, values in numbers.items():
                values[some] = getattr(row, name)
    for (name, kind), numbers in found.items():
        yield Row(name=name, kind=kind, **numbers)


def _of(sizes: Sizes, place: Place, declared: Declared, some: Any) -> Iterator[Row]:
    """The rows of one declaration on some of the networks."""
    if not declared.parts:
        return
    dimensions = Dimensions(sizes.dimensions(place, some), declared.label)
    learned = sizes.learned[some] if sizes.learned.any() else None
    for name, numbers in count(declared, dimensions, learned).items():
        known = {"macs": 0, "parameters": 0, "elements": 0, **numbers}
        yield Row(name=f"{place.path}/{name}", steps=sizes.timesteps[some], **known)
