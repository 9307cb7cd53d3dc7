"""Predictions and energy of a network stopped after 1, 2, ... T time steps, all from one forward pass."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike.cost.conventions.base import Convention
from kspike.cost.measured.products import ProductActivity
from kspike.layers import RateDecoding
from kspike.layers.frames import fold_time, unfold_time
from kspike.models.anytime import running_mean, together


@dataclasses.dataclass(frozen=True)
class Reading:
    """Accuracy and energy of a network that is stopped after some time steps.

    Args:
        step: number of time steps.
        energy_mj: millijoules of one image over these steps.
        accuracy: share of images whose label has the largest logit; None where there were no labels, or the model
            gives no answer before its last step.
        answer: class of the first image.
    """

    step: int
    energy_mj: float
    accuracy: float | None = None
    answer: int | None = None


class Reader:
    """Computes logits after every step: the head applied to the running mean over time, not to the mean over all T.

    No layer before the head uses a later step (normalisation uses moving statistics, so no other step at all). The
    logits after step t of T are therefore those of the same weights with T = t. Where a component takes several steps
    together there is the answer after the last step alone.
    """

    def __init__(self, model: Any) -> None:
        self._decoding, self._tail = _tail(model)

    @contextlib.contextmanager
    def hooked(self) -> Iterator[list[Any]]:
        """While the block runs, the input of the decoding layer is appended to the list that is given."""
        seen: list[Any] = []
        if self._decoding is None:
            yield seen
            return
        decode = self._decoding.call

        def listen(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(inputs)
            return decode(inputs, *args, **kwargs)

        vars(self._decoding)["call"] = listen
        try:
            yield seen
        finally:
            del vars(self._decoding)["call"]

    def logits(self, seen: Sequence[Any], outputs: Any) -> Any | None:
        """(batch, readings, classes): one a step, or the final outputs alone; None if the outputs are no logits."""
        if len(getattr(outputs, "shape", ())) != 2:
            return None
        if len(seen) != 1 or seen[0].shape[1] is None:
            return ops.expand_dims(ops.cast(outputs, "float32"), 1)
        last = ops.expand_dims(ops.cast(outputs, "float32"), 1)
        before = running_mean(seen[0])[:, :-1]
        if not before.shape[1]:
            return last
        x = ops.cast(fold_time(before), self._decoding.compute_dtype)  # type: ignore[union-attr]
        for layer in self._tail:
            x = layer(x)
        return ops.concatenate([unfold_time(ops.cast(x, "float32"), before.shape[1]), last], axis=1)


def _tail(model: Any) -> tuple[keras.Layer | None, list[keras.Layer]]:
    """The layer that averages over time, and those behind it, where they are one chain to the model's only output."""
    layers = list(getattr(model, "layers", ()))
    places = [i for i, layer in enumerate(layers) if isinstance(layer, RateDecoding)]
    if len(places) != 1 or together(model) > 1:
        return None, []
    chain = layers[places[0] :]
    try:  # a layer that is used twice has no input of its own, a subclassed model no output
        whole = all(behind.input is before.output for before, behind in itertools.pairwise(chain))
        whole = whole and chain[-1].output is model.output
    except (AttributeError, ValueError):
        whole = False
    return (chain[0], chain[1:]) if whole else (None, [])


class Answers:
    """Counts right answers, batch by batch.

    Args:
        features: whether the model gives none: it has no head.
        given: where logits, (images, readings, classes), and labels go, batch by batch; None for nowhere.
    """

    def __init__(self, features: bool = False, given: list | None = None) -> None:
        self._features = features
        self._given = given
        self._right: Any = 0
        self._labelled = 0
        self.first: tuple[int, ...] = ()
        self.label: int | None = None

    def add(self, logits: np.ndarray | None, labels: np.ndarray | None, n: int) -> None:
        """Takes in the answers on `n` images, (batch, readings, classes), and their labels."""
        if logits is None or self._features:
            return
        if self._given is not None:
            self._given.append((logits[:n], labels))
        found = logits[:n].argmax(axis=-1)
        if not self.first:
            self.first = tuple(int(c) for c in found[0])
            self.label = None if labels is None else int(labels[0])
        if labels is not None:
            self._right = self._right + (found == labels[:, None]).sum(axis=0)
            self._labelled += n

    def accuracy(self) -> tuple[float, ...]:
        """Share of right answers, one a reading; () where there were no labels."""
        return tuple(float(r) / self._labelled for r in self._right) if self._labelled else ()


def read(
    products: Sequence[ProductActivity], rule: Convention, timesteps: int, answers: Answers
) -> tuple[Reading, ...]:
    """Energy and accuracy after every time step."""
    energies = _energy_until(products, rule, timesteps)
    accuracy, first = answers.accuracy(), answers.first

    def at(values: tuple, step: int) -> Any:
        """The value of that step; a model with one reading has it after its last step."""
        place = step - timesteps + len(values)
        return values[place] if 0 <= place < len(values) and len(values) in (1, timesteps) else None

    return tuple(Reading(t + 1, float(energies[t]), at(accuracy, t), at(first, t)) for t in range(timesteps))


def recharged(
    readings: Sequence[Reading], products: Sequence[ProductActivity], rule: Convention
) -> tuple[Reading, ...]:
    """The same readings with the energy of another convention."""
    energies = _energy_until(products, rule, len(readings))
    return tuple(
        dataclasses.replace(reading, energy_mj=float(energy))
        for reading, energy in zip(readings, energies, strict=True)
    )


def _energy_until(products: Sequence[ProductActivity], rule: Convention, timesteps: int) -> np.ndarray:
    """Millijoules up to each step. What runs once an image (the head) is counted in every reading."""
    total = np.zeros(timesteps)
    for product in products:
        a, b = product.activity, product.by_step
        energy = float(rule.charge(a)[2]) * 1e-9
        steps = np.broadcast_to(rule.charge(b)[2], np.shape(b.rate))
        if len(steps) == timesteps and steps.sum() > 0:
            # a product of two rates is charged by their means over all steps: scaled to end at that total
            total += energy * np.cumsum(steps) / steps.sum()
        else:
            total += energy
    return total
