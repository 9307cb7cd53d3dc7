"""The pages that the documentation has of published models say what the cards say."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest

from docs.gallery import labels, pages, pictures
from kspike.pages import Point, Series

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def entries():
    return pages.entries()


def test_every_entry_has_its_row_its_dot_and_its_page(entries):
    folders = {path.parent.name for path in (ROOT / "zoo").glob("*/metadata.json")}
    assert {shown.name for shown in entries} == folders
    made = pages.made()
    index = made["gallery/index.md"]
    assert set(re.findall(r"^\| \[([\w.]+)\]\(\1\.md\)", index, re.M)) == folders
    assert set(re.findall(r'mark" [^>]*>([\w.]+)</text>', index)) == folders
    for shown in entries:
        page = made[pages.place(shown)]
        kept = [line for line in shown.card.splitlines() if line]
        assert [line for line in page.splitlines() if line in kept] == kept, "the card stands whole, in its order"


def test_the_confusion_matrix_adds_up_to_the_card(entries):
    known = [shown for shown in entries if labels.of(shown.metadata) is not None]
    assert {"digits", "cifar10"} <= {shown.data for shown in known}
    for shown in known:
        table = pictures.confusion(shown.metadata, labels.of(shown.metadata))
        rows = [[int(n) for n in re.findall(r">(\d+)</td>", row)] for row in re.findall(r'<th scope="row">.*', table)]
        counts, tested = np.array(rows), shown.metadata["evaluation"]
        assert counts.sum() == tested["n"] and np.trace(counts) == tested["correct"]


def test_labels_of_other_images_are_not_used(entries):
    metadata = copy.deepcopy(entries[0].metadata)
    metadata["predictions"]["labels_sha256"] = "0" * 64
    assert labels.of(metadata) is None and pictures.confusion(metadata, None) == ""
    metadata["predictions"] = None
    assert labels.of(metadata) is None


def test_pictures_are_of_what_the_card_has(entries):
    for shown in entries:
        trials = (shown.metadata["search"] or {}).get("trials") or []
        measured = sum("energy_mj" in (trial.get("metrics") or {}) for trial in trials)
        chart = pictures.candidates(shown.metadata)
        assert (chart is None) == (measured == 0)
        assert chart is None or len(chart.series[0].points) == measured
    metadata = copy.deepcopy(entries[0].metadata) | {"training": {"history": {"accuracy": [0.5, 0.9]}}, "search": None}
    (line,) = pictures.curve(metadata, ROOT / "nowhere").series
    assert len(line.points) == 2
    assert pictures.curve(metadata | {"training": "by hand"}, ROOT / "nowhere") is None


def test_an_entry_without_figures_is_listed_without_them(entries):
    bare = copy.deepcopy(entries[0].metadata) | {"accuracy": None, "energy_mj": None, "data": None}
    shown = pages.Shown("bare.v1", bare, entries[0].config, "# bare.v1\n\n## Training\n\nNothing.\n")
    assert "| [bare.v1](bare.v1.md) | - | - |" in pages.index([*entries, shown])
    assert "## Training\n\nNothing." in pages.card(shown)


def test_names_cover_no_dot_and_no_other_name():
    """Sixteen points on one spot of the plot: as long as there is room on some side, nothing overlaps."""
    points = [Point(10.0 ** (i % 4 - 2), 5.0 * i, mark=f"entry{i}") for i in range(16)]
    series = [Series("blue", points)]
    draw = lambda of: pages.pages.chart("y", "x", of, size=pictures.NAMED, log=True)
    (dots,) = draw(pictures._sides(series, draw(series))).series
    width = lambda dot: pictures.LETTER * len(dot.mark)
    lefts = {"right": 9, "left": -9, "above": 0, "below": -9}
    share = {"right": 0, "left": -1, "above": -0.5, "below": 0}  # of its width that is before the point
    left = lambda dot: dot.x + lefts[dot.side] + share[dot.side] * width(dot)
    for dot in dots.points:
        assert left(dot) >= pictures.NAMED.left and left(dot) + width(dot) <= pictures.NAMED.width


def test_a_name_stands_below_where_all_other_sides_are_taken():
    """At the left edge, right of it another point: as two entries of nearly the same accuracy are."""
    size = pictures.NAMED
    points = [Point(0.0005, 98.0, mark="a_rather_long_name_of_an_entry"), Point(0.0026, 99.0, mark="another_one")]
    points += [Point(0.42, 88.0, mark="x"), Point(0.004, 66.0, mark="y")]
    series = [Series("blue", points)]
    found = pictures._sides(series, pages.pages.chart("y", "x", series, size=size, log=True))
    assert found[0].points[0].side == "below"
    drawn = pages.pages.render("picture.svg", chart=pages.pages.chart("y", "x", found, size=size, log=True))
    assert "a_rather_long_name_of_an_entry</text>" in drawn


def test_the_picture_of_the_readme_is_that_of_the_cards():
    """`python docs/gallery/pages.py` draws it anew when an entry is published."""
    assert pages.PICTURE.read_text(encoding="utf-8") == pages.picture()
    assert f"]({pages.PICTURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text()


def test_what_the_readme_links_to_is_there():
    found = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())
    assert len(found) > 15
    assert [path for path in found if not (ROOT / path).exists()] == []
