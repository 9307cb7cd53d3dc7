"""Asks a teacher: its logits for every training image, in a few fixed views, for students to train with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kspike._finite import check_weights
from kspike.data import Dataset, Split
from kspike.data.reading import LONG, progress
from kspike.data.teacher import TeacherLogits, moves_of_view


def teacher_logits(
    model: keras.Model,
    data: Dataset | Split,
    *,
    views: int = 8,
    seed: int = 0,
    batch_size: int = 256,
    teacher: Mapping[str, Any] | None = None,
) -> TeacherLogits:
    """Asks a trained classifier for its logits of every training image, in views that its students see again.

    Shows how far it is on a terminal.

    A view mirrors and moves each image as the data's augmentation does (flip, shift and fill; nothing else of it). A
    student trains with them by a recipe of `teacher_share` and `train(..., teacher=)`: a teacher costs `views` passes
    over the images once, in place of one in each epoch of each student (a fixed number of views in place of fresh ones;
    Beyer et al., 2022, find that teacher and student must see the same view).

    Args:
        model: built; gives logits, one a class of the data. Any keras.Model, an ANN as a rule.
        data: a data set of `kspike.data.load`, `from_directory` and the like, or its training split.
        views: how many.
        seed: of the views.
        batch_size: images a call.
        teacher: what is said of the teacher in runs and cards, as JSON: {"name": ..., "accuracy": ...}.

    Raises:
        ValueError: a model of other classes or another input, or that is not built or holds NaN; recordings of events.
    """
    split = data.train if isinstance(data, Dataset) else data
    if not isinstance(split, Split):
        raise ValueError(
            "A teacher is asked for the images of a data set of kspike.data.load, from_directory and the like, or of "
            f"its training split; received {type(split).__name__}."
        )
    augmentation = split.of_images()
    for name, value in (("views", views), ("batch_size", batch_size)):
        if not hasattr(value, "__index__") or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} expected a whole number of at least 1, received {value!r}.")
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError("Expected a teacher that is a built keras.Model.")
    if tuple(model.input_shape[1:]) != split.input_shape or model.output_shape[-1] != split.num_classes:
        raise ValueError(
            f"The teacher takes {tuple(model.input_shape[1:])} and gives {model.output_shape[-1]} classes; the images "
            f"are {split.input_shape}, of {split.num_classes} classes."
        )
    check_weights(model, "the teacher", "Training diverged: take an earlier checkpoint.")
    count, size = split.num_examples, split.input_shape[:2]
    logits = np.empty((int(views), count, split.num_classes), np.float32)
    batches = [(view, first) for view in range(int(views)) for first in range(0, count, batch_size)]
    for view, first in progress(batches, len(batches), "Asking the teacher", least=LONG // batch_size):
        moves = moves_of_view(count, size, augmentation.flip, augmentation.shift, seed, view)
        rows = np.arange(first, min(first + batch_size, count))
        logits[view, rows] = model.predict_on_batch(split.moved(rows, moves.of(rows)))
    return TeacherLogits(
        logits, split.hash, split.class_names, augmentation.flip, augmentation.shift, augmentation.fill, seed,
        dict(teacher or {}),
    )  # fmt: skip
