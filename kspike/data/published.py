"""Reads the partitions published with the package (files/splits/*.json): which split each image belongs to.

Each file lists, by position in the official order, the images cut out of the training split, with the SHA-256 of
kspike.data.partition.digest over their ids. Loading computes the partition again and compares: a copy of a data
set that numbers its images differently is noticed.
"""

import json
import warnings
from importlib import resources
from typing import Any


def published(name: str) -> dict[str, Any] | None:
    """Gives the published partition of a data set (name, id_format, sha256, positions by split), or None."""
    file = resources.files("kspike.data") / "files" / "splits" / f"{name}.json"
    if not name.replace("_", "").isalnum() or not file.is_file():
        return None
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def check(name: str, digest: str) -> None:
    """Warns if the partition of this copy is not the published one."""
    known = published(name)
    if known is not None and known["sha256"] != digest:
        warnings.warn(
            f"The validation images cut from this copy of {name!r} are not the published ones (SHA-256 expected "
            f"{known['sha256'][:16]}..., received {digest[:16]}...): the copy is incomplete or numbers its images "
            "differently. Results are not comparable with the cards of the zoo; prepare the data set anew.",
            stacklevel=2,
        )
