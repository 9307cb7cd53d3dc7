"""SpikformerHyperModel: a search space as KerasTuner hyperparameters, and a network from their values."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from kspike.models import Spikformer
from kspike.space import Gene, Genome, SearchSpace, Slot


def declare(hp: keras_tuner.HyperParameters, space: SearchSpace) -> None:
    """Declares one Choice a slot, active where its stage's depth has its block and the words have a use for it.

    Choices of a word are its labels: `gate`, `gate(bias=False)`.
    """
    for at, slot in enumerate(space.slots):
        below = _deep_enough(space, slot)
        for words in space.conditions.scopes(at):  # several: active in any of them
            if words:
                _declare_under(hp, slot, {**below, **words})
                continue
            with contextlib.ExitStack() as scopes:
                for depth, deep in below.items():
                    scopes.enter_context(hp.conditional_scope(depth, deep))
                hp.Choice(slot.name, list(offered(slot.gene)))


def _deep_enough(space: SearchSpace, slot: Slot) -> dict[str, list[int]]:
    """Gene of a stage's depth -> its choices that have a slot's block; empty where all have."""
    if slot.block is None:
        return {}
    stage = space.stage(slot.block)
    depths = space.choices("depth", stage=stage)
    deep = [depth for depth in depths if depth > slot.block - space.starts[stage]]
    gene = space.depth_gene(stage)
    return {gene.name: deep} if gene is not None and len(deep) < len(depths) else {}


def _declare_under(hp: keras_tuner.HyperParameters, slot: Slot, scopes: Mapping[str, Any]) -> None:
    """Declares a Choice under words; `conditional_scope` takes several only if one stands inside the other."""
    choices = list(offered(slot.gene))
    conditions = [
        {"class_name": "Parent", "config": {"name": parent, "values": list(values)}}
        for parent, values in scopes.items()
    ]
    config = {"name": slot.name, "default": choices[0], "conditions": conditions, "values": choices}
    config["ordered"] = not slot.gene.word
    space = [{"class_name": "Choice", "config": config}]
    hp.merge(keras_tuner.HyperParameters.from_config({"space": space, "values": {}}), overwrite=False)


def offered(gene: Gene) -> tuple[Any, ...]:
    """A gene's choices as KerasTuner stores them: numbers, or labels."""
    return gene.labels if gene.word else gene.choices


def hyperparameters(space: SearchSpace) -> keras_tuner.HyperParameters:
    """The whole space as hyperparameters; nothing is built."""
    hp = keras_tuner.HyperParameters()
    declare(hp, space)
    return hp


def values_of(genome: Genome) -> dict[str, Any]:
    """Hyperparameter values of what a genome expresses: labels, and Python's numbers (KerasTuner stores no NumPy)."""
    return {
        slot.name: offered(slot.gene)[i] for slot, i in zip(genome.space.slots, genome.expressed, strict=True) if i >= 0
    }


def genome_of(values: Mapping[str, Any] | keras_tuner.HyperParameters, space: SearchSpace) -> Genome:
    """The genome of hyperparameter values; slots without a value get the first choice, which is not expressed.

    Values are matched within 1e-6: KerasTuner's protocol rounds them to float32.
    """
    given = values.values if isinstance(values, keras_tuner.HyperParameters) else values
    indices = []
    for slot in space.slots:
        choices = offered(slot.gene)
        value = given.get(slot.name, choices[0])
        near = [i for i, choice in enumerate(choices) if _same(choice, value)]
        if not near:
            raise ValueError(f"{slot.name} must be one of {list(choices)}, got {value!r}.")
        indices.append(near[0])
    return space.decode(indices)


def _same(choice: Any, value: Any) -> bool:
    if isinstance(choice, str) or isinstance(value, str):
        return choice == value
    return math.isclose(choice, value, rel_tol=1e-6)


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

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """As KerasTuner's.

        Raises:
            ValueError: T is a gene over frames: KerasTuner's tuners hand all networks the same batches.
        """
        if self.space.frames is not None:
            raise ValueError(
                "Networks of several T take frames of several shapes, and KerasTuner's own tuners give all the same: "
                "use EvolutionSearch or ZeroCostSearch, or a space without timesteps as a gene."
            )
        return super().fit(hp, model, *args, **kwargs)
