"""Marks places inside a forward pass; each product that ran in one is reported with its size."""

from __future__ import annotations

import dataclasses
import re

#: A place in the operation names that compilers preserve; the final point separates what they append.
_TAG = "kspike_place_{}."
_FOUND = re.compile(r"kspike_place_(\d+)\.")


@dataclasses.dataclass(frozen=True)
class Ran:
    """One matrix product, or one convolution, that ran.

    Args:
        place: number of the innermost place around it.
        macs: multiply-accumulates of one call on the whole batch.
        exact: whether `macs` is exact, not a lower bound (a loop of unknown length, a kernel of unknown size).
    """

    place: int
    macs: int
    exact: bool = True


def tag(place: int) -> str:
    """The name of a place, as compilers preserve it."""
    return _TAG.format(place)


def innermost(names: str) -> int | None:
    """The innermost place of the names around an operation, outermost first; None outside all of them."""
    found = _FOUND.findall(names)
    return int(found[-1]) if found else None
