"""Entries side by side, as tuners/search_c10.py writes them: exact paired tests, a page, a picture."""

import importlib.util
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from kspike.training import Recipe
from kspike.zoo import evaluating

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[1]
LABELS = np.arange(40) % 10


@pytest.fixture(scope="module")
def side_by_side():
    folder = str(ROOT / "tuners")
    sys.path.insert(0, folder)
    try:
        import side_by_side
    finally:
        sys.path.remove(folder)
    return side_by_side


@pytest.fixture
def script(side_by_side, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setitem(sys.modules, "side_by_side", side_by_side)
    spec = importlib.util.spec_from_file_location("search_c10", ROOT / "tuners" / "search_c10.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_card_shows_the_command_without_the_machine(script):
    words = ["--epochs", "3", "--directory", "/here/c10", "--data-dir=/there", "--hand-made", "embed_dim=64,depth=1"]
    shown = script.command(words).split(" ", 1)[1]
    assert shown == "python tuners/search_c10.py --epochs 3 --hand-made embed_dim=64,depth=1"


def test_the_command_on_a_card_is_one_that_its_script_takes(script, monkeypatch):
    """What a published network was trained by: the recipe that its card states."""
    stated = json.loads((ROOT / "zoo" / "auto_spikformer_c10.v1" / "metadata.json").read_text())
    words = shlex.split(stated["reproduce"])
    monkeypatch.setattr(sys, "argv", words[words.index("tuners/search_c10.py") :])
    given = script.arguments()
    assert script.changed(Recipe.load(given.recipe), given).to_dict() == stated["training"]["recipe"]


def card(wrong, energy=0.001):
    logits = np.eye(10, dtype="float32")[LABELS]
    logits[wrong] = np.roll(logits[wrong], 1, axis=1)
    measured = evaluating.Measured(logits, LABELS)
    return {
        "accuracy": measured.accuracy,
        "evaluation": {"interval": evaluating.interval(measured.correct, measured.n)},
        "energy_mj": energy,
        "parameters": 1234,
        "training": {"recipe": {"epochs": 3}, "seconds": 60},
        "predictions": evaluating.pack(measured),
    }


def test_the_paired_test_counts_images_that_one_alone_has_right(side_by_side):
    """Eight to one of nine: (1 + 9) / 2^9, twice. What both have right, or wrong, says nothing."""
    cards = {"a.v1": card([0, 20, 21]), "b.v1": card([1, 2, 3, 4, 5, 6, 7, 8, 20, 21])}
    (row,) = side_by_side.paired(cards, LABELS)
    assert (row["first"], row["second"], row["only_first"], row["only_second"]) == ("a.v1", "b.v1", 8, 1)
    assert row["p"] == pytest.approx(20 / 512)
    assert side_by_side.binomial(5, 5) == side_by_side.binomial(0, 0) == 1.0
    assert 0 < side_by_side.binomial(1200, 1000) < 1e-4  # large numbers neither overflow nor vanish


def test_entries_of_other_images_are_refused(side_by_side):
    with pytest.raises(ValueError, match=r"b\.v1 to hold the classes of these 40 test images"):
        side_by_side.paired({"a.v1": card([0]), "b.v1": {"predictions": None}}, LABELS)
    with pytest.raises(ValueError, match="test images"):
        side_by_side.paired({"a.v1": card([0]), "b.v1": card([1])}, LABELS[::-1])


def test_a_page_and_a_picture(side_by_side, tmp_path):
    pytest.importorskip("matplotlib")
    cards = {"a.v1": card([0, 1]), "b.v1": card(list(range(8)), 0.002), "c.v1": card([5], 0.003)}
    side_by_side.write(cards, LABELS, tmp_path)
    text = (tmp_path / "side_by_side.md").read_text()
    assert "| test accuracy | 95.00 % | 80.00 % | 97.50 % |" in text
    assert "| `a.v1`, `b.v1` | 6 | 0 | 0.031 |" in text  # 2 / 2^6
    assert (tmp_path / "side_by_side.png").stat().st_size > 5000


def test_published_entries_are_shown_by_name(side_by_side, tmp_path):
    """The newest version, under its number; an entry whose classes are of other images is refused."""
    side_by_side.main(["auto_spikformer_digits", "--into", str(tmp_path / "beside")])
    stated = json.loads((ROOT / "zoo" / "auto_spikformer_digits.v1" / "metadata.json").read_text())
    page = (tmp_path / "beside" / "side_by_side.md").read_text("utf-8")
    assert "| | `auto_spikformer_digits.v1` |" in page
    assert f"| test accuracy | {100 * stated['evaluation']['accuracy']:.2f} % |" in page
    with pytest.raises(ValueError, match="these"):
        side_by_side.main(["auto_spikformer_digits", "spikformer_c10", "--into", str(tmp_path)])
