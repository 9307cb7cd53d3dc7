"""Makes, trains, writes and loads the supernet of a project."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kspike import training
from kspike._files import sha256, written_aside
from kspike.space import SearchSpace
from kspike.supernet import SubnetValidation, Supernet

WEIGHTS = "supernet.weights.h5"
#: Batches of training and of validation images in the short evaluation after each epoch.
CHECK_BATCHES = 16


def create(space: SearchSpace, seed: int, sampling: Any = None) -> Supernet:
    """Makes a supernet whose first weights depend on the seed alone."""
    with seeded(seed):
        supernet = Supernet(space, seed=seed, sampling=sampling)
    if not hasattr(supernet, "input_shape"):  # what kspike.training reads from a model
        supernet.input_shape = (None, *space.given.input_shape)
        supernet.output_shape = (None, space.base.num_classes)
    return supernet


def compile_for(model: keras.Model, optimizer: Any = None) -> None:
    """Compiles a classifier that returns logits."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer or "sgd", loss=loss, metrics=["accuracy"])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Keras for a while; Python's and NumPy's global generators are put back, since they are the user's."""
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(int(seed))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def recipe_of(data: Any, epochs: int, learning_rate: float, weight_decay: float, seed: int) -> training.Recipe:
    """A recipe with the batch size, augmentation and seed of the data."""
    return training.Recipe(
        epochs=epochs,
        learning_rate=learning_rate,
        min_learning_rate=learning_rate / 100,
        weight_decay=weight_decay,
        batch_size=getattr(data, "batch_size", None) or len(data[0][1]),
        augment=getattr(data, "augmentation", None),
        seed=getattr(data, "seed", seed),
    )


def settings_of_data(recipe: training.Recipe) -> dict[str, Any]:
    """The fields of a supernet's recipe that come from the data and not from arguments."""
    return {name: value for name, value in recipe.to_dict().items() if name in ("batch_size", "augment", "seed")}


def start_of(model: keras.Model, recipe: training.Recipe) -> str:
    """Twelve characters that name a training run by where it starts from: weights, architecture and recipe."""
    digest = hashlib.sha256(json.dumps([recipe.to_dict(), model.config.to_dict()]).encode())
    for variable in model.variables:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return digest.hexdigest()[:12]


def train(
    supernet: Supernet, data: Any, validation: Any, recipe: training.Recipe, folder: Path, say: Callable, verbose: int
) -> list[dict[str, float]]:
    """Trains `supernet`, every epoch kept in `folder` before the next begins; returns one row an epoch."""
    quick_check = [] if validation is None else [SubnetValidation(data, validation, batches=CHECK_BATCHES, say=say)]
    with warnings.catch_warnings():
        # blocks beyond the depth of a batch's network rightly have no gradient
        warnings.filterwarnings("ignore", message="Gradients do not exist")
        training.train(supernet, data, recipe, directory=folder, callbacks=quick_check, verbose=verbose)
    return training.read_history(folder)


# -- files ------------------------------------------------------------------------------------------------------


def save_weights(supernet: keras.Model, path: Path) -> str:
    """Writes weights atomically, without the optimizer's; returns their SHA-256."""
    supernet.optimizer = None  # Keras would store its two moments beside every weight
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path, durable=True) as aside:
        supernet.save_weights(aside)
        digest = sha256(aside)
    return digest


def load(model: keras.Model, path: Path, digest: str) -> None:
    """Loads weights whose hash is known.

    Raises:
        ValueError: the file is missing, or is not the one that was written.
    """
    if not path.is_file():
        raise ValueError(f"The project's weights {path} are missing; restore them, or start anew with overwrite=True.")
    if sha256(path) != digest:
        raise ValueError(
            f"{path} is not the file that this project wrote (its SHA-256 differs); restore it from a copy."
        )
    model.load_weights(path)
