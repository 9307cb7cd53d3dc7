"""Folders of arrays kept on the disk: written aside, sealed by hashes, renamed when complete."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from kspike import _json
from kspike._files import folder_aside, remove_leftovers, sha256

SEAL = "meta.json"


@contextlib.contextmanager
def written(target: Path, form: int, fingerprint: str, files: Mapping[str, str]) -> Iterator[Path]:
    """Gives a folder to write into, which becomes `target`; of two processes that write at once the first wins.

    Args:
        target: where it will lie.
        form: number of its layout.
        fingerprint: hexadecimal, of what the arrays were made from.
        files: name in the seal -> file in the folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent, "writing")
    with folder_aside(target.parent, "writing") as aside:
        yield aside
        sums = {name: sha256(aside / file) for name, file in files.items()}
        meta = {"format": form, "fingerprint": fingerprint, "sha256": sums}
        (aside / SEAL).write_text(json.dumps(meta, indent=1), encoding="utf-8")
        try:
            os.replace(aside, target)
        except OSError:
            if not (target / SEAL).is_file():  # else another process was first, with the same arrays
                raise


def whole(target: Path, form: int, fingerprint: str, files: Mapping[str, str]) -> bool:
    """Whether a folder holds what this fingerprint was made of; False where it is of another layout or fingerprint.

    Raises:
        ValueError, OSError, KeyError, TypeError, AttributeError: it is damaged.
    """
    meta = _json.read_object(target / SEAL)
    if meta["format"] != form or meta["fingerprint"] != fingerprint:
        return False
    for name, file in files.items():
        if sha256(target / file) != meta["sha256"][name]:
            raise ValueError(f"{file} is damaged")
    return True
