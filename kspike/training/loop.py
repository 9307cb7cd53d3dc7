"""Trains a model by a recipe with Keras' compile and fit, with a checkpoint every epoch: a killed run resumes."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from kspike import _lock
from kspike._files import expanded
from kspike._finite import bad_weights
from kspike.data import Dataset
from kspike.data.teacher import TeacherLogits
from kspike.ops import accelerated
from kspike.training import checkpoints, inputs, records
from kspike.training.calibrating import calibrate
from kspike.training.graph_replay import Prefetcher, graph_replay
from kspike.training.optimizer import make_loss, make_optimizer
from kspike.training.recipe import Recipe

#: Batches between two checks of the loss: reading it waits for the device.
LOOK_EVERY = 50


def train(
    model: keras.Model,
    data: Any,
    recipe: Recipe,
    *,
    validation_data: Any = None,
    directory: str | os.PathLike[str] | None = None,
    resume: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    teacher: TeacherLogits | str | os.PathLike[str] | None = None,
    verbose: int = 1,
) -> keras.Model:
    """Trains a classifier that gives logits, and returns it, with the weights of the last epoch.

    With a `directory`, every epoch's weights, optimizer and history are kept there (only the newest complete epoch
    stays): run the same script again after Ctrl-C, kill -9 or a power cut, and training resumes after that epoch, and
    ends with the same weights as an uninterrupted run. A finished run is loaded. Other settings in the same directory
    are refused. Nothing is chosen by the validation images, which are only evaluated, and the test images are never
    read.

    The directory holds settings.json (recipe, architecture, hash of the images), data.json (size, normalisation and
    classes of the images, of a data set), history.csv (one row an epoch) and epoch_N/ with
    model.weights.h5, which `model.load_weights` takes; what else lies in it stays as it is. One process at a time
    trains into it; a second one is refused, with the name of the first.

    Args:
        model: built; `kspike.Spikformer` or any keras.Model. It is compiled here and trained from the weights it has.
        data: a data set of `kspike.data.load`, `from_directory` and the like or `recipe.load_data`, its training split,
            another `keras.utils.PyDataset`, batches to iterate over (tf.data, a torch DataLoader) or (images, labels)
            as arrays. It must come in the recipe's batches, order and augmentation; arrays, of floats, are given them
            here. A PyDataset and an iterable have their own order, which no seed of the recipe changes; an iterable is
            augmented here, a PyDataset not.
        recipe: a `Recipe`.
        validation_data: evaluated after each epoch; of a whole data set, its validation split.
        directory: where the run is kept; None keeps nothing.
        resume: False starts anew, removing the run that is in the directory.
        callbacks: Keras callbacks. A callback's own state is not restored when a run resumes.
        teacher: logits that `kspike.training.teacher_logits` gave, or their file, for a recipe with `teacher_share`.
        verbose: 0 for silence, 1 for a line an epoch, 2 for Keras' progress bar as well.

    Raises:
        ValueError: something does not fit together, or another process trains in the directory, before work starts; a
            damaged checkpoint; a loss or a weight that is not finite (the epochs before are kept).

    Example:
        >>> import kspike                                                       # doctest: +SKIP
        >>> recipe = kspike.training.Recipe(epochs=20, learning_rate=3e-3)
        >>> data = recipe.load_data("digits")
        >>> model = kspike.training.train(model, data, recipe, directory="runs/mine")
    """
    if not isinstance(recipe, Recipe):
        raise ValueError(f"Expected a kspike.training.Recipe, received {type(recipe).__name__}.")
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError("Expected a keras.Model that is built; call it once on an image, or give it an Input.")
    if not model.trainable_variables:
        raise ValueError("Nothing of the model trains: every layer is frozen (trainable=False, --freeze).")
    facts = data if isinstance(data, Dataset) else None
    training, validation = inputs.read(data, validation_data, recipe)
    for batches, name in ((training, "training"), (validation, "validation")):
        if batches is not None and len(batches):
            inputs.check_first(batches, name, model)
    training = inputs.taught(training, recipe, teacher)
    training, validation, soft = inputs.soften(training, validation, recipe, int(model.output_shape[-1]))
    folder = None if directory is None else expanded(directory)
    with contextlib.nullcontext() if folder is None else _hold(folder):
        return _train(model, training, validation, soft, recipe, folder, resume, callbacks, verbose, facts)


def _train(
    model: keras.Model,
    training: Any,
    validation: Any,
    soft: bool,
    recipe: Recipe,
    folder: Path | None,
    resume: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int,
    facts: Dataset | None,
) -> keras.Model:
    optimizer = make_optimizer(model, recipe, len(training))
    model.compile(optimizer, make_loss(soft, recipe.label_smoothing), metrics=["accuracy"])
    optimizer.build(model.trainable_variables)
    rows: list[dict[str, float]] = []
    if folder is not None:
        rows = _open(folder, model, _settings(model, training, validation, recipe), recipe.epochs, resume)
        if facts is not None:
            records.write_data(folder, facts)
        records.write_layers(folder, model)
    if rows and verbose:
        print(f"going on after epoch {len(rows)} of {recipe.epochs} in {folder}", flush=True)
    if len(rows) >= recipe.epochs:
        return model
    if hasattr(training, "set_epoch"):
        training.set_epoch(len(rows))
    with contextlib.ExitStack() as stack:
        if accelerated():
            stack.enter_context(graph_replay(model))
            if isinstance(training, (inputs.Split, inputs.Arrays)):  # threads may read their batches
                training = stack.enter_context(contextlib.closing(Prefetcher(training)))
        epochs = _Epochs(training, recipe, rows, folder, verbose, validation)
        try:
            model.fit(
                training,
                validation_data=validation,
                initial_epoch=len(rows),
                epochs=recipe.epochs,
                shuffle=False,  # the data shuffles itself, by its seed and the epoch
                verbose=1 if verbose > 1 else 0,
                callbacks=[epochs, *callbacks],
            )
        except Exception as error:
            if isinstance(error, MemoryError) or epochs.stopped:
                raise
            for data, name in ((training, "training"), (validation, "validation")):  # a batch that a backend choked on
                found = inputs.does_not_fit(data, name, int(model.output_shape[-1]))
                if found is not None:
                    raise ValueError(f"{found} {epochs.kept()}") from error
            raise
    return model


@contextlib.contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Keeps every other process from training into the same folder."""
    with contextlib.ExitStack() as stack:
        with _writing(folder):
            stack.enter_context(_lock.held(folder, "training"))
        yield


def _open(
    folder: Path, model: keras.Model, settings: dict[str, Any], epochs: int, resume: bool
) -> list[dict[str, float]]:
    with _writing(folder):
        checkpoints.check_places(folder, epochs, anew=not resume)
        if not resume:
            records.forget(folder)
        records.check_settings(folder, settings)
    return records.restore(folder, model)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, f"The run cannot be written into {folder}: {error.strerror}") from None


def _settings(model: keras.Model, training: Any, validation: Any, recipe: Recipe) -> dict[str, Any]:
    config = getattr(model, "config", None)
    policy = getattr(model, "policy", model.dtype_policy).name
    return {
        "recipe": recipe.to_dict(),
        "model": config.to_dict() if config is not None and hasattr(config, "to_dict") else type(model).__name__,
        "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "images": getattr(training, "hash", None),
        **({"teacher": teacher} if (teacher := getattr(training, "teacher", None)) else {}),
        **({"from": origin} if (origin := getattr(model, "origin", None)) else {}),
        **({"validation_images": validation.hash} if getattr(validation, "is_own", False) else {}),
        **({} if policy == "float32" else {"precision": policy}),
    }


class _Epochs(keras.callbacks.Callback):
    """Keeps a checkpoint of each epoch, prints a line, and stops where the loss, or a weight, is not finite."""

    def __init__(
        self,
        data: Any,
        recipe: Recipe,
        rows: list[dict[str, float]],
        folder: Path | None,
        verbose: int,
        validation: Any,
    ) -> None:
        super().__init__()
        self.validation = validation
        self.data, self.recipe, self.rows, self.folder, self.say = data, recipe, rows, folder, bool(verbose)
        self.stopped = False  # whether this ended the training, with a message of its own
        self.looked = 0  # batches of this epoch up to the last finite loss

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if getattr(self.data, "epoch", epoch) != epoch:  # a data set whose epoch Keras does not advance
            self.data.set_epoch(epoch)
        self.start, self.rate = time.perf_counter(), float(keras.ops.convert_to_numpy(self._rate()))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (batch + 1) % LOOK_EVERY == 0:
            self._look(logs, batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._look(logs, None)
        if (found := bad_weights(self.model)) is not None:  # the last step's loss is from before it
            self.stopped = True
            raise ValueError(f"After epoch {epoch + 1} {found}: {self._diverged()}")
        if self.recipe.ema is not None and epoch + 1 == self.recipe.epochs and logs is not None:
            logs |= self._average()
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        row |= {"learning_rate": self.rate, "seconds": round(time.perf_counter() - self.start, 2)}
        self.rows.append(row)
        if self.folder is not None:
            records.keep(self.folder, self.model, self.rows)
        if self.say:
            shown = "  ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if k in (logs or {}))
            print(f"epoch {epoch + 1}/{self.recipe.epochs}  {shown}  {row['seconds']:.1f} s", flush=True)

    def _average(self) -> dict[str, float]:
        """Gives the model its averaged weights, and statistics that belong to them; what they reach on validation.

        Before the last epoch is kept, so that a finished run is kept with them.
        """
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        norms = keras.layers.BatchNormalization
        if any(isinstance(layer, norms) and layer.trainable for layer in self.model._flatten_layers()):
            calibrate(self.model, inputs.unchanged(self.data), frozen=False)
        if self.validation is None:
            return {}
        found = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        return {f"val_{name}": value for name, value in found.items()}

    def _rate(self) -> Any:
        return self.model.optimizer.learning_rate

    def _look(self, logs: Any, batch: int | None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            where = f"epoch {len(self.rows) + 1}" + ("" if batch is None else f", by batch {batch + 1}")
            # at an epoch's end the data may already have the next order: then search all of it
            first, last = (0, len(self.data)) if batch is None else (self.looked, batch + 1)
            self.stopped = True
            found = inputs.bad_batch(self.data, first, last, int(self.model.output_shape[-1]))
            if found is not None:
                raise ValueError(f"The loss is {loss} in {where}: {found}. Clean them. {self.kept()}")
            raise ValueError(f"The loss is {loss} in {where}: {self._diverged()}")
        self.looked = 0 if batch is None else batch + 1

    def _diverged(self) -> str:
        return (
            f"training has diverged. Lower learning_rate (now {self.recipe.learning_rate:g}), warm up longer, or clip "
            f"gradients (clip_norm, now {self.recipe.clip_norm}). {self.kept()}"
        )

    def kept(self) -> str:
        """What is left of an unfinished training."""
        return "The epochs before are kept." if self.folder is not None else "Nothing is kept without a directory."
