"""Says what went wrong with a TFDS data set, and what to do: not installed, unknown, not there, not still images."""

import contextlib
import difflib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PACKED = ("digits",)
FIRST = ("cifar10", "cifar100")


def import_tfds(name: str) -> Any:
    """Imports tensorflow_datasets, or says how to install it."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        near = difflib.get_close_matches(name, (*PACKED, *FIRST), 1)
        hint = f" Did you mean {near[0]!r}?" if near and near[0] != name else ""
        raise ImportError(
            f"The data set {name!r} is read by TensorFlow Datasets, which cannot be imported ({error}): "
            f"pip install 'kspike[data]'. Only {', '.join(map(repr, PACKED))} needs nothing.{hint}"
        ) from error
    return tensorflow_datasets


def explained(name: str, error: Exception) -> Exception:
    """Turns what tfds.builder raised into one error that names the nearest data sets."""
    import tensorflow_datasets as tfds

    if not isinstance(error, tfds.core.DatasetNotFoundError):
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return ValueError(f"TensorFlow Datasets cannot open {name!r}: {first}")
    names = [*PACKED, *tfds.list_builders(with_community_datasets=False)]
    near = difflib.get_close_matches(name, names, 3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return ValueError(
        f"Unknown data set {name!r}.{hint} Known: {', '.join(map(repr, (*PACKED, *FIRST)))} and the other still-image "
        "classification sets of TensorFlow Datasets (https://www.tensorflow.org/datasets/catalog/overview)."
    )


def missing(name: str, root: Path) -> FileNotFoundError:
    """Says that a known data set is not in `root`, and the two ways to get it there."""
    return FileNotFoundError(
        f"The data set {name!r} is not prepared in {root}. Where it lies elsewhere, pass data_dir= or set "
        f"TFDS_DATA_DIR. To fetch it, pass download=True, or run once (both need TensorFlow to write the files, "
        f"not to read them): python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}', "
        f"data_dir='{root}', file_format='array_record').download_and_prepare()\""
    )


def only_tensorflow(name: str, path: Any) -> ImportError:
    """Says that files are TFRecord and TensorFlow is missing."""
    return ImportError(
        f"{path} holds {name!r} as TFRecord files, which only TensorFlow reads: pip install tensorflow-cpu (it is "
        "needed once, the decoded images are kept), or prepare the set with file_format='array_record' elsewhere."
    )


def keys_of(name: str, info: Any) -> tuple[str, str]:
    """Gives the names of the image and the label feature, or says why this is no set of labelled still images."""
    keys = info.supervised_keys
    features: dict[str, Any] = dict(info.features.items())
    if isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(k, str) for k in keys):
        image, label = features[keys[0]], features[keys[1]]
        is_image = (
            type(image).__name__ == "Image" and np.dtype(image.np_dtype) == np.uint8 and image.shape[2] is not None
        )
        if is_image and hasattr(label, "num_classes"):
            return keys[0], keys[1]
    found = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
    raise ValueError(
        f"{name!r} is not a set of 8-bit still images with one class each; its features are {found}. "
        "kspike.data.load reads still-image classification sets."
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses TFDS' advice on OpenCV and on empty folders; errors are still logged."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
