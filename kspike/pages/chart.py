"""Charts: lines and scatter plots, computed as coordinates that a template draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from kspike.pages.axis import decades, labels, ticks, whole_ticks


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of a series, in the units of the axes.

    Args:
        x, y: coordinates.
        about: the tooltip.
        mark: a short text beside it.
        spread: half the length of an error bar along x, such as a standard deviation; 0 for none.
        side: of the point on which its mark stands: "above", "right", "left", or "below", where it begins at the point.
    """

    x: float
    y: float
    about: str = ""
    mark: str = ""
    spread: float = 0.0
    side: str = "above"


@dataclasses.dataclass(frozen=True)
class Series:
    """Points that belong together.

    Args:
        colour: "blue", "orange", "violet" or "grey" of the style.
        points: points with coordinates that are not finite are left out.
        line: whether a line runs through them.
        dots: "solid", "faint" (for many overlapping ones), "ring" (around others), or "" for none.
        radius: of the dots, in units of the picture.
    """

    colour: str
    points: Sequence[Point]
    line: bool = False
    dots: str = "solid"
    radius: float = 4


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of a picture in its own units: the whole, the margins, and about how many steps an axis has."""

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    steps: int = 4


#: For several charts in a row, and for one across the page, whose texts are larger in a narrow window.
SMALL = Size("small", 320, 230, left=48, right=22, top=20, bottom=44)
LARGE = Size("large", 640, 320, left=76, right=24, top=14, bottom=60, steps=6)


@dataclasses.dataclass(frozen=True)
class Tick:
    """A tick: its coordinate from the left or from the top, and its label."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Dot:
    """A point in the picture; `spread` is None or the two ends of its line, from the left."""

    x: float
    y: float
    about: str
    mark: str
    spread: tuple[float, float] | None
    side: str


@dataclasses.dataclass(frozen=True)
class DrawnSeries:
    """A series in the picture, as a `Series` says."""

    colour: str
    line: bool
    dots: str
    radius: float
    points: tuple[Dot, ...]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture with axes, ready for a template: coordinates in its own units, from the left and from the top."""

    title: str
    x_title: str
    label: str
    size: Size
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[DrawnSeries, ...]


def chart(
    title: str, x_title: str, series: Sequence[Series], *, label: str = "", size: Size = SMALL, from_zero: str = "",
    whole: bool = False, most: float = math.inf, log: bool = False,
) -> Chart:  # fmt: skip
    """Places series between axes at round numbers.

    Args:
        title: of the vertical axis.
        x_title: of the horizontal axis.
        series: drawn in order, the first one at the bottom.
        label: text alternative for screen readers; `title` against `x_title` where empty.
        size: of the picture.
        from_zero: the axes that begin at 0: "x", "y", "xy" or none.
        whole: whether x are whole numbers, all of them labelled if they are few.
        most: the largest tick of the vertical axis: 100 for a share in percent.
        log: whether the horizontal axis is logarithmic, from power of ten to power of ten; x of at most 0 are left out.
    """
    shown = lambda p: math.isfinite(p.x) and math.isfinite(p.y) and (p.x > 0 or not log)
    kept = [[p for p in s.points if shown(p)] for s in series]
    points = [point for each in kept for point in each] or [Point(float(log), 0.0)]
    xs, ys = [p.x for p in points], [p.y for p in points]
    first, lowest = (0.0 if name in from_zero else min(values) for name, values in (("x", xs), ("y", ys)))
    if log:
        across = decades(min(xs), max(xs))
    else:
        across = whole_ticks(int(first), int(max(xs))) if whole else ticks(first, max(xs), size.steps)
    up = ticks(lowest, max(ys), size.steps)
    up = [y for y in up if y <= most] or up
    left, right = min(across[0], min(xs)), max(across[-1], max(xs))
    names = [f"{x:g}" for x in across] if log else labels(across)
    scale: Callable[[float], float] = math.log10 if log else float
    low, length = scale(left), scale(right) - scale(left)

    def x_of(x: float) -> float:
        share = (scale(min(max(x, left), right)) - low) / (length or 1.0)
        return round(size.left + share * (size.width - size.left - size.right), 1)

    def y_of(y: float) -> float:
        share = (y - up[0]) / ((up[-1] - up[0]) or 1.0)
        return round(size.height - size.bottom - share * (size.height - size.top - size.bottom), 1)

    def dot(p: Point) -> Dot:
        spread = (x_of(p.x - p.spread), x_of(p.x + p.spread)) if p.spread > 0 else None
        return Dot(x_of(p.x), y_of(p.y), p.about, p.mark, spread, p.side)

    return Chart(
        title,
        x_title,
        label or f"{title} against {x_title}",
        size,
        tuple(Tick(x_of(x), text) for x, text in zip(across, names, strict=True)),
        tuple(Tick(y_of(y), text) for y, text in zip(up, labels(up), strict=True)),
        tuple(
            DrawnSeries(s.colour, s.line, s.dots, s.radius, tuple(map(dot, each)))
            for s, each in zip(series, kept, strict=True)
        ),
    )
