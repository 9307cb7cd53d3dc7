"""What is published with the package: every entry loads, and its card holds what a card must."""

from pathlib import Path

import pytest

import kspike

ZOO = Path(__file__).resolve().parents[2] / "zoo"
ENTRIES = sorted(path.name for path in ZOO.glob("*.v*")) if ZOO.is_dir() else []


@pytest.mark.parametrize("name", ENTRIES)
def test_a_published_entry_loads_and_its_card_is_whole(name):
    card = kspike.zoo.card(name)
    model = kspike.zoo.load(name)
    assert kspike.cost.parameters(model.config) == card["parameters"]
    assert name in kspike.zoo.list_models(all_versions=True)
    for key in (
        "accuracy",
        "energy_mj",
        "reproduce",
        "license",
        "evaluation",
        "energy",
        "predictions",
        "class_names",
        "data",
    ):
        assert card[key] is not None, key
    assert len(card["evaluation"]["backends"]) >= 1 and card["energy"]["convention"] in kspike.cost.conventions()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ENTRIES if "digits" in name])
def test_a_published_entry_for_digits_agrees_with_its_card_on_this_backend(name):
    report = kspike.zoo.verify(name)
    assert report.ok, str(report)
    assert abs(report.accuracy - kspike.zoo.card(name)["accuracy"]) <= 1 / 360 + 1e-9
