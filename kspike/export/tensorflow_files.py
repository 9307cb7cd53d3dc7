"""Writes SavedModel folders and .tflite files by Keras' own exporters on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras


def write_saved_model(model: Any, folder: Path, shape: tuple[int | None, ...], dtype: str) -> None:
    """Writes a folder whose signature "serving_default" takes "images"."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    # a function of its own: a layer's call takes Keras' way, which would name the input otherwise
    signature = [keras.InputSpec(shape=shape, dtype=dtype, name="images")]
    archive.add_endpoint("serve", lambda images: model(images), input_signature=signature)
    archive.write_out(str(folder), verbose=False)


def write_litert(model: Any, path: Path, shape: tuple[int | None, ...], dtype: str) -> None:
    """Writes a .tflite file whose one signature takes "images"."""
    signature = [keras.InputSpec(shape=shape, dtype=dtype, name="images")]
    model.export(str(path), format="litert", input_signature=signature, verbose=False)
