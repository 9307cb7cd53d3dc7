"""Recipe: how a model is trained, as a frozen dataclass that can be written as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kspike import _json
from kspike import data as datasets
from kspike._files import write_text
from kspike._registry import check_keys, meant
from kspike.data import Augmentation
from kspike.data.events import EventAugmentation
from kspike.data.events.named_augmentations import from_dict

#: Fields that came after the first runs were kept, with their defaults: a run without them is one of the same settings.
LATER = {"layer_decay": 1.0, "layer_rates": None, "ema": None, "teacher_share": 0.0, "teacher_temperature": 1.0}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Says how a model is trained: AdamW with a linear warm-up and a cosine decay of the learning rate, step by step.

    Two runs of one recipe from the same first weights on the same machine give the same weights.

    Args:
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: the highest, reached after the warm-up.
        min_learning_rate: the one of the last step, and of the first if there is a warm-up.
        warmup_epochs: epochs over which the rate rises; may be a part of one.
        weight_decay: of AdamW, a step taking off learning_rate * weight_decay; biases, normalisation and neurons are
            not decayed.
        label_smoothing: share of each label that is spread over all classes.
        clip_norm: largest L2 norm of one variable's gradient; None for no clipping.
        augment: of the training images: a name out of `kspike.data.augmentations()`, an `Augmentation`, or None; of
            events a name out of `kspike.events.augmentations()`, or an `EventAugmentation`.
            For data sets of `kspike.data.load` and arrays; another PyDataset augments its batches itself.
        seed: of the order of the images and their augmentation (of those); `kspike train` draws the first weights by it
            too.
        layer_decay: factor of the learning rate from one layer of the model to the one before it, from the head back to
            the stem: 0.8 trains a head at the rate, the last block at 0.8 of it, the one before at 0.64; to fine-tune.
        layer_rates: factors of single layers by name, or pattern: {"stem": 0.1, "block_*": 0.5}; times the former.
        ema: momentum of a moving average of the weights, as 0.999; the last epoch ends with the averaged weights and
            statistics of normalisation measured for them, on training images, and is evaluated so. None for none.
        teacher_share: share of each label that a teacher makes up (distillation, Hinton et al., 2015), whose logits
            `train(..., teacher=)` is given; 0 for no teacher. The images then come in the views that it has seen.
        teacher_temperature: the teacher's logits are divided by it; above 1 softens them. The student's are not.

    Example:
        >>> from kspike.training import Recipe
        >>> recipe = Recipe(epochs=20, learning_rate=3e-3, warmup_epochs=2)
        >>> Recipe.from_dict(recipe.to_dict()) == recipe
        True
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-5
    warmup_epochs: float = 0.0
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    clip_norm: float | None = 1.0
    augment: str | Augmentation | EventAugmentation | None = None
    seed: int = 0
    layer_decay: float = 1.0
    layer_rates: Mapping[str, float] | None = None
    ema: float | None = None
    teacher_share: float = 0.0
    teacher_temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            _check(_is_whole(value) and value >= least, name, f"a whole number of at least {least}", value)
            object.__setattr__(self, name, int(value))
        numbers = ("learning_rate", "min_learning_rate", "warmup_epochs", "weight_decay", "label_smoothing")
        for name in (*numbers, "teacher_share", "teacher_temperature"):
            value = getattr(self, name)
            _check(_is_number(value) and value >= 0, name, "a number of at least 0", value)
            object.__setattr__(self, name, float(value))
        _check(self.learning_rate > 0, "learning_rate", "a number above 0", self.learning_rate)
        low = f"at most learning_rate={self.learning_rate:g}"
        _check(self.min_learning_rate <= self.learning_rate, "min_learning_rate", low, self.min_learning_rate)
        _check(self.warmup_epochs < self.epochs, "warmup_epochs", f"less than epochs={self.epochs}", self.warmup_epochs)
        _check(self.teacher_share <= 1, "teacher_share", "a share in 0..1", self.teacher_share)
        _check(self.teacher_temperature > 0, "teacher_temperature", "a number above 0", self.teacher_temperature)
        _check(self.label_smoothing < 1, "label_smoothing", "a share in 0..1", self.label_smoothing)
        if self.clip_norm is not None:
            _check(_is_number(self.clip_norm) and self.clip_norm > 0, "clip_norm", "above 0, or None", self.clip_norm)
            object.__setattr__(self, "clip_norm", float(self.clip_norm))
        for name in ("layer_decay", "ema"):
            value = getattr(self, name)
            if value is not None or name == "layer_decay":
                _check(_is_number(value) and 0 < value <= 1, name, "a number above 0, of at most 1", value)
                object.__setattr__(self, name, float(value))
        if self.ema is not None:
            _check(self.ema < 1, "ema", "less than 1, which would keep the first weights", self.ema)
        if self.layer_rates is not None:
            rates = self.layer_rates
            right = isinstance(rates, Mapping) and all(_is_number(r) and r > 0 for r in rates.values())
            expected = (
                "factors above 0 by the names of layers (what is not to train at all is frozen: trainable = False)"
            )
            _check(right and all(isinstance(name, str) for name in rates), "layer_rates", expected, rates)
            object.__setattr__(self, "layer_rates", {name: float(rate) for name, rate in rates.items()} or None)
        if isinstance(self.augment, Mapping):
            object.__setattr__(self, "augment", from_dict(self.augment))
        names = dict.fromkeys((*datasets.augmentations(), *datasets.events.augmentations()))
        if isinstance(self.augment, str) and self.augment not in names:
            raise ValueError(
                f"Recipe: unknown augment {self.augment!r}.{meant(self.augment, names)} Known: {', '.join(names)}."
            )
        known = self.augment is None or isinstance(self.augment, (str, Augmentation, EventAugmentation))
        _check(known, "augment", "a name, a kspike.data.Augmentation or None", self.augment)

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with other values."""
        return Recipe.from_dict({**self.to_dict(), **changes})

    def load_data(self, name: str | os.PathLike[str], **options: Any) -> datasets.Dataset:
        """Opens a data set in this recipe's batches, order and augmentation; otherwise as `kspike.data.open_data`."""
        return datasets.open_data(name, batch_size=self.batch_size, seed=self.seed, augment=self.augment, **options)

    # -- JSON ----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; of fields that came later only those that differ from their defaults."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values = {name: value for name, value in values.items() if name not in LATER or value != LATER[name]}
        if isinstance(self.augment, (Augmentation, EventAugmentation)):
            values["augment"] = self.augment.to_dict()
        if self.layer_rates is not None:
            values["layer_rates"] = dict(self.layer_rates)
        return values

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))  # layer_rates is a mapping

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Reads what `to_dict` gave; absent keys take their defaults.

        Raises:
            ValueError: an unknown key (the message names the nearest), or a value out of its range.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"A recipe is an object of names and values, received {type(values).__name__}.")
        check_keys("Recipe", values, (field.name for field in dataclasses.fields(cls)))
        return cls(**values)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the recipe as a JSON file, aside first, so that the file is whole or not there."""
        return write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Reads a recipe from a JSON file.

        Raises:
            ValueError: no such file, not JSON, or not a recipe.
        """
        return cls.from_dict(_json.read_object(path))


def _is_whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check(right: bool, name: str, expected: str, received: Any) -> None:
    if not right:
        raise ValueError(f"Recipe: {name} expected {expected}, received {received!r}.")
