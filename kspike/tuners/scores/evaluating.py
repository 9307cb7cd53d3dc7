"""Evaluates scores of one architecture over several initialisations."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kspike.cost.analytic.table import as_config
from kspike.models import Spikformer
from kspike.space import Genome
from kspike.tuners.engine.checks import whole
from kspike.tuners.evolution.supernet import seeded
from kspike.tuners.scores.base import Score
from kspike.tuners.scores.registry import get

#: What is computed where nothing else is asked for.
OURS = ("params", "flops", "synflow", "naswot", "grad_norm", "synops", "energy")


@dataclasses.dataclass(frozen=True)
class Value:
    """A score over initialisations.

    Args:
        name: of the score, or of a further measurement.
        values: one a seed; one in all for a counted score.
    """

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Standard deviation over the seeds; 0 for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 and np.isfinite(self.values).all() else 0.0


def evaluate(
    network: Any,
    data: Any = None,
    scores: Sequence[str | Score | Callable[[Any], float]] = (
        "params",
        "flops",
        "synflow",
        "naswot",
        "grad_norm",
        "synops",
        "energy",
    ),
    seeds: int = 3,
    images: int = 64,
    first_seed: int = 0,
) -> dict[str, Value]:
    """Computes training-free scores of one architecture; measured ones over several initialisations.

    The model is built once, and its weights are replaced by those that each seed draws. Measured scores see the same
    batch of images, unaugmented.

    Args:
        network: a `SpikformerConfig` or a genome.
        data: training data: one split of `kspike.data.load(...)`, or `(images, labels)` as arrays; None where all the
            scores are counted. Of a genome with T over frames, what all networks of its space are given.
        scores: names (`kspike.tuners.scores.names()`), `Score` objects, or plain functions of a `SpikformerConfig`.
        seeds: how many initialisations.
        images: how many images, all in one batch: normalisation uses their statistics.
        first_seed: seeds are counted from here.

    Returns:
        Score -> `Value`; "energy" (millijoules of one image) adds "silent_layers" and "silent".

    Raises:
        ValueError: an unknown score, no data where data is needed, images of another shape.

    Example:
        >>> import kspike
        >>> from kspike.tuners import scores
        >>> scores.evaluate(kspike.SpikformerConfig(), scores=["flops"])["flops"].mean
        3703607040.0
    """
    wanted = [get(score) for score in scores]
    config = as_config(network)
    out: dict[str, Value] = {
        score.name: Value(score.name, (float(score.of(config)),)) for score in wanted if score.counted
    }
    measured = [score for score in wanted if not score.counted]
    if not measured:
        return out
    for name, value in (("seeds", seeds), ("images", images)):
        whole(name, value, 1)
    frames = network.space.frames if isinstance(network, Genome) else None
    batch, labels = batch_of(data, config if frames is None else frames, images)
    if frames is not None:  # those of all T are given: the network sees its own
        batch = frames.of(batch, config.timesteps)
    with seeded(first_seed):
        model = Spikformer(config)
    bound = [score.on(model, batch, labels) for score in measured]
    found: dict[str, list[float]] = {}
    for seed in range(first_seed, first_seed + seeds):
        with seeded(seed):
            if seed > first_seed:
                # the same layers with fresh weights: the compiled program is reused
                model.set_weights(Spikformer(config).get_weights())
            for run in bound:
                for name, number in run().items():
                    found.setdefault(name, []).append(float(number))
    return out | {name: Value(name, tuple(values)) for name, values in found.items()}


def batch_of(data: Any, config: Any, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of the data, as one batch (images float32, labels int32).

    Raises:
        ValueError: no data, or images of another shape.
    """
    from kspike.tuners.project import data as project_data  # which knows what users call data

    data = project_data.as_data(data, "train")
    if hasattr(data, "without_augmentation"):
        data = data.without_augmentation()
    project_data.check(data, "train", config)
    batches: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(len(data)):
        if sum(len(batch[1]) for batch in batches) >= images:
            break
        x, y = data[i][:2]
        batches.append((np.asarray(x, np.float32), np.asarray(y)))
    x, y = (np.concatenate(column)[:images] for column in zip(*batches, strict=True))
    return x, (y.argmax(-1) if y.ndim > 1 else y).astype(np.int32)
