"""SpikformerHyperModel: a search space as KerasTuner hyperparameters, and a network from their values."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from kspike.models import Spikformer
from kspike.space import Genome, SearchSpace


def declare(hp: keras_tuner.HyperParameters, space: SearchSpace) -> None:
    """Declares one Choice a slot of the space; a block's slots are active only where the depth includes the block."""
    depths = next((gene.choices for gene in space.genes if gene.name == "depth"), ())
    for slot in space.slots:
        deep = [d for d in depths if slot.block is not None and d > slot.block]
        scope = hp.conditional_scope("depth", deep) if deep and len(deep) < len(depths) else contextlib.nullcontext()
        with scope:
            hp.Choice(slot.name, list(slot.gene.choices))


def hyperparameters(space: SearchSpace) -> keras_tuner.HyperParameters:
    """The whole space as hyperparameters; nothing is built."""
    hp = keras_tuner.HyperParameters()
    declare(hp, space)
    return hp


def values_of(genome: Genome) -> dict[str, int | float]:
    """Hyperparameter values of a genome's expressed genes: Python numbers, since KerasTuner cannot store NumPy's."""
    return {
        slot.name: slot.gene.choices[i] for slot, i in zip(genome.space.slots, genome.expressed, strict=True) if i >= 0
    }


def genome_of(values: Mapping[str, Any] | keras_tuner.HyperParameters, space: SearchSpace) -> Genome:
    """The genome of hyperparameter values; blocks without a value get the first choice, which is not expressed.

    Values are matched within 1e-6: KerasTuner's protocol rounds them to float32.
    """
    given = values.values if isinstance(values, keras_tuner.HyperParameters) else values
    indices = []
    for slot in space.slots:
        value = given.get(slot.name, slot.gene.choices[0])
        near = [i for i, c in enumerate(slot.gene.choices) if math.isclose(c, value, rel_tol=1e-6)]
        if not near:
            raise ValueError(f"{slot.name} must be one of {list(slot.gene.choices)}, got {value!r}.")
        indices.append(near[0])
    return space.decode(indices)


class SpikformerHyperModel(keras_tuner.HyperModel):
    """Builds and compiles a Spikformer of a search space, for KerasTuner's own tuners; each is trained from scratch.

    Args:
        space: a `SearchSpace`, the name of a published one, or a JSON file.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        name: as of every keras_tuner.HyperModel.

    Example:
        >>> import keras_tuner
        >>> from kspike.tuners import SpikformerHyperModel
        >>> tuner = keras_tuner.BayesianOptimization(  # doctest: +SKIP
        ...     SpikformerHyperModel("digits"), objective="val_accuracy", max_trials=20)
    """

    def __init__(
        self, space: Any, learning_rate: float = 2e-3, weight_decay: float = 0.01, name: str | None = None
    ) -> None:
        super().__init__(name=name or "spikformer")
        self.space = SearchSpace.load(space)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declares the space's slots."""
        declare(hp, self.space)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled Spikformer of these hyperparameters."""
        declare(hp, self.space)
        values = {slot.name: hp.get(slot.name) for slot in self.space.slots if hp.is_active(slot.name)}
        model = Spikformer(genome_of(values, self.space).to_config())
        model.compile(
            optimizer=keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model
