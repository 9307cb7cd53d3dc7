"""Where on the image every part of a stem or a mixer works: (height, width) in and out."""

from __future__ import annotations

from collections.abc import Mapping

from kspike.components.parts import BorderNorm, Conv, DepthwiseConv, Part, Pool


def grids(declared: Mapping[str, Part], size: tuple[int, int]) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Part -> (height, width) of its input and of its output; each takes what the part before it gives, or `of` says.

    A stride divides a side and rounds it up, a convolution without padding shortens it by its kernel less 1, and a
    `BorderNorm` lengthens it by 2. The last part's output is what the component gives.

    Example:
        >>> from kspike import components
        >>> grids(components.get("stem", "single_conv").declared({"residual": "add"}), (9, 8))["conv"]
        ((9, 8), (5, 4))
    """
    found: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    at = size
    for name, part in declared.items():
        of = getattr(part, "of", None)
        before = at if of is None else (found[of][1] if of else size)
        stride = part.stride if isinstance(part, (Conv, DepthwiseConv, Pool)) else 1
        longer = 2 if isinstance(part, BorderNorm) else 0
        if isinstance(part, DepthwiseConv) and not part.padded:
            longer = 1 - part.kernel
        at = (-(-(before[0] + longer) // stride), -(-(before[1] + longer) // stride))
        found[name] = before, at
    return found


def source(declared: Mapping[str, Part], name: str) -> str | None:
    """The part whose output a part takes; None for the component's input."""
    of = getattr(declared[name], "of", None)
    if of is not None:
        return of or None
    before = list(declared)[: list(declared).index(name)]
    return before[-1] if before else None


def last(declared: Mapping[str, Part], size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of what comes out of the last part."""
    found = grids(declared, size)
    return found[next(reversed(found))][1] if found else size
