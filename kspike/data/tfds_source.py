"""Reads any still-image classification set of TensorFlow Datasets, without TensorFlow where its files allow it.

array_record files are read by TFDS' data source, which imports no TensorFlow; TFRecord files by TensorFlow, once, since
the decoded images are kept (kspike/data/cache.py). Images are ordered by the set's own "id" feature, or, where it
has none, by their place in the files.
"""

import hashlib
import importlib.util
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kspike._files import expanded
from kspike.data import cache, tfds_errors
from kspike.data.class_names import class_names
from kspike.data.reading import collect
from kspike.data.sources import Images, Source

# Sets whose classes a mirror changes: letters, digits and signs.
UNMIRRORED = ("mnist", "emnist", "kmnist", "binarized_mnist", "svhn_cropped", "omniglot", "cmaterdb")


def source(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: tuple[int, int] | None = None,
    download: bool = False,
    keep: bool = True,
) -> Source:
    """Describes a prepared TFDS set; nothing is decoded until a split is read.

    Args:
        name: as TFDS names it, `name[/config][:version]`.
        data_dir: where it was prepared; TFDS_DATA_DIR or ~/tensorflow_datasets by default.
        image_size: wanted by sets whose images differ in size, which are cropped and resized as they are read.
        download: whether to fetch and prepare it if it is not there.
        keep: whether to keep decoded images (kspike/data/cache.py).
    """
    root = expanded(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    builder = _builder(name, root, download)
    info = builder.info
    image_key, label_key = tfds_errors.keys_of(name, info)
    height, width, channels = info.features[image_key].shape
    size = None
    if height is None or width is None:
        size = image_size
        if size is None:
            raise ValueError(
                f"Images of {name!r} differ in size: pass image_size=, for instance image_size=(64, 64); each is then "
                "cropped to that aspect around its centre and averaged down."
            )
    return Source(
        name=info.name,
        version=str(info.version),
        image_shape=(*(size or (height, width)), channels),
        class_names=class_names(info.name, label_key, info.features[label_key]),
        input_range=(0, 255),
        splits=tuple(info.splits),
        read=partial(_read, builder, image_key, label_key, size, cache.folder(root) if keep else None),
        source=info.homepage or "",
        license=info.redistribution_info.license or "",
        citation=info.citation or "",
        mirrored=info.name not in UNMIRRORED,
    )


def _builder(name: str, root: Path, download: bool) -> Any:
    tfds = tfds_errors.import_tfds(name)
    try:
        with tfds_errors.quiet():
            builder = tfds.builder(name, data_dir=root)
            if not builder.info.splits and download:
                builder = tfds.builder(name, data_dir=root, file_format="array_record")
                builder.download_and_prepare()
    except Exception as error:
        raise tfds_errors.explained(name, error) from error
    if not builder.info.splits:
        raise tfds_errors.missing(name, root)
    return builder


def _read(
    builder: Any, image_key: str, label_key: str, size: tuple[int, int] | None, root: Path | None, split: str
) -> Images:
    decode = partial(_decode, builder, image_key, label_key, size, split)
    if root is None:
        return decode()
    info = builder.info
    label = split if size is None else f"{split}-{size[0]}x{size[1]}"
    folder = root.joinpath(*info.full_name.split("/"))
    return cache.decoded(folder, label, _fingerprint(builder, image_key, label_key, split), decode)


def _fingerprint(builder: Any, image_key: str, label_key: str, split: str) -> str:
    """Changes when the prepared files do: their names, sizes or times."""
    files = [Path(p) for p in builder.info.splits[split].filepaths]
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    content = json.dumps([cache.FORMAT, builder.info.full_name, split, image_key, label_key, stats])
    return hashlib.sha256(content.encode()).hexdigest()


def _decode(builder: Any, image_key: str, label_key: str, size: tuple[int, int] | None, split: str) -> Images:
    info = builder.info
    if any(f.value == "array_record" for f in info.available_file_formats()):
        examples = builder.as_data_source(split=split)
    elif importlib.util.find_spec("tensorflow") is None:
        raise tfds_errors.only_tensorflow(info.name, builder.data_path)
    else:
        import tensorflow_datasets as tfds

        # One file after the other, so that places in the files are the same each time.
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        examples = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, read_config=in_order))
    with tfds_errors.quiet():
        images, labels, ids = collect(examples, info.splits[split].num_examples, image_key, label_key, size, info.name)
    if labels.min() < 0:
        raise ValueError(
            f"The split {split!r} of {info.name!r} has no labels (some are -1): pass test_split= with one of its other "
            f"splits; it has {', '.join(info.splits)}."
        )
    return Images(np.asarray(images), labels, ids)
