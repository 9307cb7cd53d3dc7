"""Puts finished files in their place: whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from kspike._files import folder_aside, place_aside, remove_leftovers, written_aside
from kspike.export.table import FILE, Format

_LABEL = "kspike_export"


def check_place(target: Path, form: Format, overwrite: bool) -> None:
    """Refuses a place that cannot be written, before any work.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: something is there and may not be replaced.
    """
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"There is no folder {target.parent} to write {target.name} into")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise ValueError(f"Expected a free place; {target} exists, and overwrite=False.")
    if target.is_dir() != (not form.suffix):
        what = "a folder" if target.is_dir() else "a file"
        raise ValueError(
            f"Expected a place for {form.name}; {target} is {what}, which is not replaced. Remove it first."
        )
    if not form.suffix and not (target / "saved_model.pb").is_file() and any(target.iterdir()):
        raise ValueError(
            f"Expected a free place, or the folder of a SavedModel to replace; {target} holds something else."
        )


def place(folder: Path, form: Format, target: Path) -> int:
    """Moves what was written in `folder` to its place; gives its bytes.

    OpenVINO's weights lie in a second file: it is put in place first.
    """
    source = folder / f"{FILE}{form.suffix}"
    if not form.suffix:
        return _place_folder(source, target)
    size = 0
    beside = [".bin"] if form.suffix == ".xml" else []
    for suffix in [*beside, form.suffix]:
        with written_aside(target.with_suffix(suffix) if suffix in beside else target, durable=True) as aside:
            shutil.copyfile(source.with_suffix(suffix), aside)
            size += aside.stat().st_size
    return size


def _place_folder(source: Path, target: Path) -> int:
    remove_leftovers(target.parent, _LABEL)
    with folder_aside(target.parent, _LABEL) as aside:
        shutil.copytree(source, aside, dirs_exist_ok=True)
        size = sum(each.stat().st_size for each in aside.rglob("*") if each.is_file())
        if target.is_dir():
            old = place_aside(target.parent, _LABEL)
            os.rename(target, old)
            try:
                os.rename(aside, target)
            except OSError:
                os.rename(old, target)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(aside, target)
    return size
