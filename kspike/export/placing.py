"""Puts finished files in their place: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from kspike._files import folder_aside, place_aside, remove_leftovers, sync, written_aside
from kspike._messages import shown
from kspike.export.table import FILE, Format

_LABEL = "kspike_export"


def check_place(target: Path, form: Format, overwrite: bool) -> None:
    """Refuses a place that cannot be written, before any work.

    Raises:
        FileNotFoundError: there is no such folder.
        PermissionError: nothing may be written into it.
        ValueError: something is there and may not be replaced; no name, or one that the disk cannot hold.
    """
    if target.name in ("", ".."):
        raise ValueError(f"Expected the name of a file, or of a folder to be made; received {str(target)!r}.")
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"There is no folder {target.parent} to write {target.name} into")
    _check_name(target)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"Nothing may be written into the folder {target.parent}")
    for each in (target, *_beside(target, form)):
        if not os.path.lexists(each):
            continue
        if not overwrite:
            raise ValueError(f"Expected a free place; {each} exists, and overwrite=False.")
        if each.is_dir() != (not form.suffix):
            what = "a folder" if each.is_dir() else "a file"
            raise ValueError(
                f"Expected a place for {form.name}; {each} is {what}, which is not replaced. Remove it first."
            )
    there = target.is_dir() and not (target / "saved_model.pb").is_file()
    if there and any(target.iterdir()):
        raise ValueError(
            f"Expected a free place, or the folder of a SavedModel to replace; {target} holds something else."
        )


def _check_name(target: Path) -> None:
    """Whether the disk can hold the name, and the longer one under which the file is written aside."""
    try:
        os.lstat(place_aside(target.parent, f"{_LABEL}.{target.name}"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # too long; or NUL in it
        raise ValueError(
            f"Expected a name that a file here can have, with some 60 characters to spare; received "
            f"{shown(target.name)} ({getattr(error, 'strerror', None) or error})."
        ) from None


def _beside(target: Path, form: Format) -> list[Path]:
    """Files that belong to the one at the target: of OpenVINO its weights."""
    return [target.with_suffix(".bin")] if form.suffix == ".xml" else []


def place(folder: Path, form: Format, target: Path) -> int:
    """Moves what was written in `folder` to its place; gives its bytes.

    OpenVINO's weights lie in a second file: both are on the disk before either is put in place, the weights first.
    """
    source = folder / f"{FILE}{form.suffix}"
    if not form.suffix:
        return _place_folder(source, target)
    size = 0
    with contextlib.ExitStack() as renamed:  # the last that is opened is renamed first
        for into in (target, *_beside(target, form)):
            aside = renamed.enter_context(written_aside(into))
            shutil.copyfile(source.with_suffix(into.suffix.lower()), aside)
            sync(aside)
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
            if old.is_symlink():
                old.unlink()
            else:
                shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(aside, target)
    return size
