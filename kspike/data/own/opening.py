"""Opens a data set by what a user writes for it: a known name, a folder of pictures, or a file of arrays."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import numpy as np

from kspike import _npz
from kspike._files import expanded, opened_plain
from kspike.data import loading
from kspike.data.dataset import Dataset
from kspike.data.own import labels as naming
from kspike.data.own.arrays import from_arrays
from kspike.data.own.directory import from_directory

#: Names of arrays in a file: images and labels, of all parts or of one.
_KEYS = {"images": ("images", "x", "data"), "labels": ("labels", "y", "targets")}
_PARTS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
#: Options that only named sets read.
_NAMED_ALONE = ("data_dir", "download", "cache", "test_split")


def open_data(name_or_path: str | os.PathLike[str], **options: Any) -> Dataset:
    """Opens a data set: a name that `load` knows, a folder for `from_directory`, or a file of arrays, `.npz`.

    A name of `kspike.data.names()` wins over a folder of that name (`is_own` tells); `./NAME` is the folder. A file of
    arrays holds `images` and `labels` (or `x` and `y`), or such of each part, `x_train`, `y_train`, `x_test`, `y_test`;
    and, if you like, `class_names`, `ids` and `input_range`. Nothing in it is executed.

    Args:
        name_or_path: of the data set.
        options: of `load`, `from_directory` or `from_arrays`; None for those that are not given.

    Raises:
        ValueError: nothing of these, or what those functions refuse.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ValueError(f"Expected the name of a data set, a folder or an .npz file; received {name_or_path!r}.")
    text = os.fspath(name_or_path)
    path = expanded(text)
    if not is_own(name_or_path):
        accepted = {key: value for key, value in options.items() if key in _of(loading.load) or value is not None}
        return loading.load(text, **{key: value for key, value in accepted.items() if _given(loading.load, key, value)})
    idle = [key for key in _NAMED_ALONE if options.pop(key, None)]
    if idle:
        raise ValueError(
            f"{text!r} is a folder or a file, and {', '.join(f'{key}=' for key in idle)} are for sets known by name."
        )
    if not path.is_dir():
        options.pop("channels", None)  # of arrays the channels are what they are
    if path.is_dir():
        return from_directory(path, **_taken(from_directory, options))
    if path.suffix.lower() == ".npz":
        return _from_file(path, options)
    what = "a file; expected a folder of pictures, or arrays as .npz" if path.is_file() else "not there"
    raise ValueError(f"The data {text!r} is {what}.")


def is_own(text: str | os.PathLike[str]) -> bool:
    """Whether this means a folder or a file: by its form, or because one is there and kspike has no set of that name.

    Another set of TensorFlow Datasets gives way to a folder: whether there is one of that name is not asked, since that
    would import it.
    """
    if isinstance(text, os.PathLike):
        return True
    if text.endswith(".npz") or text.startswith(("/", "./", "../", "~")) or os.sep in text and os.path.exists(text):
        return True
    return os.path.isdir(text) and text not in loading.names()


def _from_file(path: Path, options: dict[str, Any]) -> Dataset:
    try:
        with opened_plain(path) as file:
            arrays = _npz.read(file)
    except Exception as error:  # damaged archives end in nearly every class of error there is
        raise ValueError(f"{path} cannot be read as NumPy arrays without objects: {error}.") from None
    parts = {part: _pair(arrays, part, path) for part in ("train", "validation", "test")}
    pairs = {part: pair for part, pair in parts.items() if pair is not None}
    whole = _pair(arrays, "", path)
    if (whole is None) == ("train" not in pairs) or (whole is not None and pairs):
        raise ValueError(
            f"Expected {path} to hold images and labels, or x_train and y_train (and such of validation and test); it "
            f"holds {', '.join(sorted(arrays))}."
        )
    kept = {key: arrays.pop(key) for key in ("class_names", "ids", "input_range") if key in arrays}
    if arrays:
        raise ValueError(f"{path} holds {', '.join(sorted(arrays))} too, which nothing reads: leave them out.")
    found: dict[str, Any] = {key: value.tolist() for key, value in kept.items()}
    found |= {part: pair for part, pair in pairs.items() if part != "train"}
    images, labels = whole if whole is not None else pairs["train"]
    if "class_names" in found and options.get("class_names") is not None:
        # the numbers are places among the file's own names, not among those that are asked for
        own = found.pop("class_names")
        labels = _as_words(labels, own)
        found |= {part: (pair[0], _as_words(pair[1], own)) for part, pair in pairs.items() if part != "train"}
    options = {"name": path.stem, **_taken(from_arrays, options)}
    return from_arrays(images, labels, **{**found, **{k: v for k, v in options.items() if v is not None}})


def _as_words(labels: Any, names: list[str]) -> Any:
    numbers, named = naming.read(labels, naming.check_names(names))
    return np.array(named)[numbers]


def _pair(arrays: dict[str, Any], part: str, path: Path) -> tuple[Any, Any] | None:
    """Images and labels of a part, taken out of the arrays; None where it has none."""
    found = {}
    for kind, names in _KEYS.items():
        suffixes = [f"_{name}" for name, of in _PARTS.items() if of == part] or [""]
        keys = [name + suffix for name in names for suffix in suffixes if name + suffix in arrays]
        if len(keys) > 1:
            raise ValueError(f"{path} holds {' and '.join(keys)}: keep one of them.")
        if keys:
            found[kind] = arrays.pop(keys[0])
    if len(found) == 1:
        raise ValueError(f"{path} holds {part or 'the'} {next(iter(found))} without their counterpart.")
    return (found["images"], found["labels"]) if found else None


def _of(function: Any) -> Any:
    return inspect.signature(function).parameters


def _given(function: Any, key: str, value: Any) -> bool:
    """Whether an option is handed on; one that says None where the function has another default is not."""
    known = _of(function)
    return key not in known or value is not None or known[key].default is None


def _taken(function: Any, options: dict[str, Any]) -> dict[str, Any]:
    known = _of(function)
    return {key: value for key, value in options.items() if key in known or value is not None}
