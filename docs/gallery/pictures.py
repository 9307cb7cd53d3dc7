"""Pictures of entries: accuracy against energy, a search's candidates, a training curve, a confusion matrix."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike import pages
from kspike.pages.chart import LARGE, Size
from kspike.zoo import cards, evaluating

COLOURS = ("blue", "violet", "orange", "grey")
#: With room for the entries' names; alone, for a title too.
NAMED = Size("large", 640, 380, left=56, right=24, top=14, bottom=60, steps=6)
ALONE = dataclasses.replace(NAMED, height=410, top=44)
#: Width of a letter and height of a line of the names, in units of the picture, as in a narrow window.
LETTER, LINE = 8.5, 14


def front(entries: Sequence[Any], *, alone: bool = False) -> pages.Chart:
    """Test accuracy against energy of all entries that have both, each with its name, a colour a data set."""
    series, sets = [], sorted({shown.data for shown in entries if shown.data})
    for colour, name in zip(COLOURS * len(sets), sets, strict=False):
        points = [
            pages.Point(m["energy_mj"], 100 * m["accuracy"], f"{shown.name}: {m['accuracy']:.2%}", shown.name)
            for shown in entries
            if shown.data == name and (m := shown.metadata)["accuracy"] is not None and m["energy_mj"]
        ]
        series += [pages.Series(colour, _unbeaten(points), line=True, dots=""), pages.Series(colour, points, radius=6)]

    def drawn(of: Sequence[pages.Series]) -> pages.Chart:
        words = {"size": ALONE if alone else NAMED, "log": True, "most": 100}
        label = f"Test accuracy and energy of the published models, on {' and '.join(sets)}"
        return pages.chart("Test accuracy, %", "estimated energy an image, mJ", of, label=label, **words)

    return drawn(_sides(series, drawn(series)))


def _unbeaten(points: Sequence[pages.Point]) -> list[pages.Point]:
    """Those that no other point beats in both, from left to right."""
    kept: list[pages.Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not kept or point.y > kept[-1].y:
            kept.append(dataclasses.replace(point, mark=""))
    return kept


def _sides(series: Sequence[pages.Series], chart: pages.Chart) -> list[pages.Series]:
    """Puts each mark on the first side where it covers no point, no other mark and no edge."""
    dots = [dot for drawn in chart.series if drawn.dots for dot in drawn.points]
    taken = [(dot.x - 7, dot.y - 7, dot.x + 7, dot.y + 7) for dot in dots]
    sides = {}
    for dot in sorted(dots, key=lambda d: (-d.x, d.y)):
        length = LETTER * len(dot.mark)
        boxes = {
            "right": (dot.x + 9, dot.y - LINE / 2, dot.x + 9 + length, dot.y + LINE / 2),
            "left": (dot.x - 9 - length, dot.y - LINE / 2, dot.x - 9, dot.y + LINE / 2),
            "above": (dot.x - length / 2, dot.y - 9 - LINE, dot.x + length / 2, dot.y - 9),
            "below": (dot.x - 9, dot.y + 9, dot.x - 9 + length, dot.y + 9 + LINE),
        }
        side = next((name for name, box in boxes.items() if _free(box, taken, chart.size)), "right")
        taken.append(boxes[side])
        sides[dot.mark] = side
    moved = lambda p: dataclasses.replace(p, side=sides.get(p.mark, p.side))
    return [dataclasses.replace(each, points=tuple(map(moved, each.points))) for each in series]


def _free(box: tuple[float, ...], taken: Sequence[tuple[float, ...]], size: Size) -> bool:
    left, top, right, bottom = box
    inside = left >= size.left and right <= size.width - 4
    return inside and all(right <= t[0] or left >= t[2] or bottom <= t[1] or top >= t[3] for t in taken)


def candidates(metadata: dict[str, Any]) -> pages.Chart | None:
    """Accuracy against energy of the networks that the search evaluated; None where the card has no such record."""
    trials = (metadata["search"] or {}).get("trials")
    found = [trial.get("metrics") or {} for trial in trials] if isinstance(trials, list) else []
    points = [
        pages.Point(m["energy_mj"], 100 * m["accuracy"], f"{m['accuracy']:.2%}, {m['energy_mj']:.4g} mJ")
        for m in found
        if m.get("accuracy") is not None and m.get("energy_mj") is not None
    ]
    if len(points) < 2:
        return None
    series = [
        pages.Series("grey", points, dots="faint"),
        pages.Series("orange", _unbeaten(points), line=True, radius=4),
    ]
    title = f"Validation accuracy of {len(points)} networks that the search evaluated, %; orange: none beats it in both"
    return pages.chart(title, "estimated energy an image, mJ", series, size=LARGE, most=100)


def curve(metadata: dict[str, Any], results: Path) -> pages.Chart | None:
    """Accuracy by epoch, of the card's own history, or of `<name>.csv` in a folder of results; None without either."""
    training = metadata["training"] if isinstance(metadata["training"], dict) else {}
    history, file = training.get(cards.CURVES), results / f"{metadata['name']}.csv"
    if history is None and file.is_file() and metadata["version"] == 1:
        with open(file, newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        history = {key: [float(row[key] or "nan") for row in rows] for key in ("accuracy", "val_accuracy")}
    if not history:
        return None
    series = [
        pages.Series(colour, [pages.Point(i + 1, 100 * y) for i, y in enumerate(history[key])], line=True, radius=3)
        for colour, key in (("orange", "val_accuracy"), ("blue", "accuracy"))
        if history.get(key)
    ]
    title = "Accuracy by epoch, %; blue: training, with augmentation; orange: validation"
    return pages.chart(title, "epochs", series, size=LARGE, whole=True, most=100)


def confusion(metadata: dict[str, Any], labels: np.ndarray | None) -> str:
    """Which class got which answer, as an HTML table; "" where the answers or the labels are not known."""
    predicted = evaluating.unpack(metadata["predictions"])
    if predicted is None or labels is None:
        return ""
    names = metadata["class_names"] or [str(i) for i in range(int(labels.max()) + 1)]
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = list(zip(names, counts.tolist(), shares.tolist(), strict=True))
    return pages.render("confusion.html", names=names, rows=rows)
