"""Marks places inside a forward pass, and says of each matrix product that ran there how large it was."""

from __future__ import annotations

import dataclasses
import re

#: A place in the names that compilers carry along; the point at the end keeps what they append apart.
_TAG = "kspike_place_{}."
_FOUND = re.compile(r"kspike_place_(\d+)\.")


@dataclasses.dataclass(frozen=True)
class Ran:
    """One matrix product, or one convolution, that ran.

    Args:
        place: number of the innermost place around it.
        macs: multiply-accumulates of one call on the whole batch.
        exact: whether these are all; else as many at least (a loop of unknown length, a kernel of unknown size).
    """

    place: int
    macs: int
    exact: bool = True


def tag(place: int) -> str:
    """A place as a compiler carries it."""
    return _TAG.format(place)


def innermost(names: str) -> int | None:
    """The innermost place of the names around an operation, outermost first; None outside all of them."""
    found = _FOUND.findall(names)
    return int(found[-1]) if found else None
