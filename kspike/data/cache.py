"""Keeps decoded images as .npy files, so that tens of thousands of PNGs are decoded once and then mapped into memory.

One folder a split: images.npy, labels.npy, ids.npy and meta.json, which holds the fingerprint of the files they came
from and the SHA-256 of each array. A folder is written under a temporary name and renamed when complete: a killed
process leaves no half of one, and of two processes that write at once the first wins. A folder that does not match is
never used, but decoded again.

Where: the folder named by the environment variable KSPIKE_CACHE, or `kspike_cache` beside the prepared data sets
(`<data_dir>/kspike_cache/<data set>/<version>/`). It may be deleted at any time.
"""

import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kspike import _resources
from kspike.data import kept
from kspike.data.sources import Images

FORMAT = 1
FILES = {name: f"{name}.npy" for name in Images._fields}
#: Name of the folder beside prepared data sets.
FOLDER = "kspike_cache"


def folder(data_dir: str | os.PathLike[str]) -> Path:
    """Names the folder that holds decoded images for the data sets prepared in `data_dir`."""
    return _resources.cache() or Path(data_dir) / FOLDER


def decoded(root: Path, split: str, fingerprint: str, decode: Callable[[], Images]) -> Images:
    """Maps a split's decoded images from `root`, or decodes and keeps them there first.

    A folder that cannot be written, or a full disk, costs a warning and time, not the run.

    Args:
        root: folder of one data set and version.
        split: official split, with the size where images were resized as they were read.
        fingerprint: hexadecimal; changes when the files that `decode` reads change.
        decode: reads and decodes the split.
    """
    target = root / f"{split}-{fingerprint[:16]}"
    found = _open(target, fingerprint)
    if found is not None:
        return found
    images = decode()
    try:
        _write(target, fingerprint, images)
    except OSError as error:
        warnings.warn(
            f"Decoded images could not be kept in {root} ({error}); the next run decodes them again. Set KSPIKE_CACHE "
            "to a folder with space that may be written, or pass cache=False.",
            stacklevel=2,
        )
        return images
    own = re.compile(re.escape(split) + "-[0-9a-f]{16}")  # not "train-32x32-...", which is another size's
    for stale in root.iterdir():
        if own.fullmatch(stale.name) and stale != target and (stale / kept.SEAL).is_file():
            shutil.rmtree(stale, ignore_errors=True)
    return _open(target, fingerprint) or images


def _open(target: Path, fingerprint: str) -> Images | None:
    if not (target / kept.SEAL).is_file():
        return None
    try:
        if not kept.whole(target, FORMAT, fingerprint, FILES):
            return None
        images = np.load(target / "images.npy", mmap_mode="r", allow_pickle=False)
        labels, ids = (np.load(target / f"{name}.npy", allow_pickle=False) for name in ("labels", "ids"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"Decoded images in {target} are unreadable ({error}); decoding them again.", stacklevel=3)
        shutil.rmtree(target, ignore_errors=True)
        return None
    return Images(images, labels, ids)


def _write(target: Path, fingerprint: str, images: Images) -> None:
    with kept.written(target, FORMAT, fingerprint, FILES) as aside:
        for name, array in images._asdict().items():
            np.save(aside / FILES[name], array, allow_pickle=False)
