import json

import numpy as np
import pytest

import kspike
from kspike.space import Genome, SearchSpace
from kspike.zoo import evaluating

pytestmark = pytest.mark.shared


class Tuner:
    """What publish asks of a tuner."""

    def search_record(self):
        return {
            "space": {"name": "digits"},
            "objective": "AEB(beta=0.02)",
            "constraints": {"parameters": [None, 200_000]},
            "seed": 3,
            "trials": [{"genome": {"depth": 2}, "accuracy": np.float32(0.5), "energy_mj": float("nan")}],
            "budget": "5 minutes",
            "genome": {"depth": 2},
        }


def test_the_card_states_what_was_measured(released, model, digits):
    card = kspike.zoo.card(released)
    logits = model.predict(digits.test, verbose=0)
    labels = np.concatenate([np.asarray(digits.test[index][1]) for index in range(len(digits.test))])
    correct = int(np.sum(logits.argmax(-1) == labels))
    assert len(set(logits.argmax(-1))) > 2  # a network that says something, or the rest proves nothing
    assert card["accuracy"] == correct / 360
    assert (card["evaluation"]["n"], card["evaluation"]["correct"]) == (360, correct)
    low, high = card["evaluation"]["interval"]
    assert 0 <= low < card["accuracy"] < high <= 1
    assert (
        card["parameters"]
        == kspike.cost.parameters(model.config)
        == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    )
    report = kspike.cost.measure(model, digits.test, progress=False)
    assert np.isclose(card["energy_mj"], report.energy_mj, rtol=1e-6)
    assert card["energy"]["convention"] == "spikformer" and card["energy"]["n"] == 360
    assert card["reproduce"] == "python tiny.py" and card["seed"] == 7 and card["license"] == "apache-2.0"
    assert card["data"]["name"] == "digits" and card["class_names"] == list("0123456789")
    assert {"kspike", "keras", "numpy", "backend"} <= set(card["versions"]) and card["hardware"]["cores"] >= 1


def test_the_card_says_what_stopping_earlier_and_other_conventions_give(released, model, digits):
    card, report = kspike.zoo.card(released), kspike.cost.measure(model, digits.test, progress=False)
    curve = kspike.models.exit_curve(model, digits.test)
    steps, exits = card["evaluation"]["by_timesteps"], card["evaluation"]["early_exit"]
    assert [step["accuracy"] for step in steps] == list(curve.fixed) and steps[-1]["accuracy"] == card["accuracy"]
    assert 0 < steps[0]["energy_mj"] < steps[1]["energy_mj"] == pytest.approx(card["energy_mj"])
    assert [exit["confidence"] for exit in exits] == list(kspike.models.exit_curve.__defaults__[0])
    assert [(e["mean_steps"], e["accuracy"]) for e in exits] == [(e.mean_steps, e.accuracy) for e in curve.exits]
    charged = card["energy"]["conventions"]
    assert charged["spikformer"] == card["energy_mj"] and "neurobench" not in charged and len(charged) > 2
    assert charged["lemaire"] == pytest.approx(report.under("lemaire").energy_mj, rel=1e-6)
    assert card["energy"]["firing"] == pytest.approx({n.name: n.rate for n in report.neurons}, abs=1e-5)
    text = (released / "README.md").read_text("utf-8")
    assert f"| 1 of 2 steps | {100 * steps[0]['accuracy']:.2f} % |" in text and "| lemaire | " in text
    error = card["evaluation"]["calibration"]["ece"]
    assert f"calibration error in 15 bins (Guo et al., 2017) is {100 * error:.2f} points" in text


def test_the_calibration_error_by_hand():
    """Confidences 0.9, 0.9 (one right), 0.6 (right): bins of two and one images, gaps 0.4 and 0.4."""
    shares = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    measured = evaluating.Measured(np.log(shares).astype("float32"), np.array([0, 0, 1]))
    found = evaluating.calibration(measured)
    assert found["ece"] == pytest.approx((2 * 0.4 + 0.4) / 3, abs=1e-6)
    assert found["mean_confidence"] == pytest.approx(0.8, abs=1e-6)


def test_a_card_is_a_copy(released):
    kspike.zoo.card(released)["files"].clear()
    assert kspike.zoo.card(released)["files"]


def test_the_search_goes_onto_the_card(model, tmp_path):
    path = kspike.zoo.publish(model, "found", directory=tmp_path, license="cc0-1.0", search=Tuner(), notes="A test.")
    card = kspike.zoo.card(path)
    assert card["search"]["trials"] == [{"genome": {"depth": 2}, "accuracy": 0.5, "energy_mj": None}]
    assert (card["genome"], card["seed"], card["budget"]) == ({"depth": 2}, 3, "5 minutes")
    text = (path / "README.md").read_text("utf-8")
    for said in (
        "found by architecture search",
        "space: digits",
        "objective: AEB",
        "trials: 1",
        "budget: 5 minutes",
        "A test.",
    ):
        assert said in text


class Search:
    """A search over a space that holds the published network, which was not its best."""

    space = SearchSpace(
        kspike.SpikformerConfig(input_shape=(8, 8, 1), stem_pool=(False, False, False, True)),
        name="tiny",
        embed_dim=(16, 32),
        depth=(1, 2),
        num_heads=(2,),
        timesteps=(1,),
        mlp_ratio=(1.0,),
    )

    def search_record(self):
        best, other = self.space.genome(embed_dim=32, depth=2), self.space.genome(embed_dim=16, depth=1)
        trials = [{"indices": list(genome.indices), "score": 0.5} for genome in (best, other)]
        return {"space": self.space.to_dict(), "genome": best.to_dict(), "trials": trials, "seed": 0}


@pytest.mark.slow
def test_the_genome_is_that_of_the_published_network(tmp_path):
    genome = Search.space.genome(embed_dim=16, depth=1)
    one = kspike.Spikformer(genome.to_config())
    path = kspike.zoo.publish(one, "one", directory=tmp_path, license="cc0-1.0", search=Search())
    card = kspike.zoo.card(path)
    assert Genome.from_dict(card["genome"], SearchSpace.from_dict(card["search"]["space"])) == genome
    foreign = kspike.Spikformer(genome.to_config().replace(tau=1.25))
    path = kspike.zoo.publish(foreign, "foreign", directory=tmp_path, license="cc0-1.0", search=Search())
    assert kspike.zoo.card(path)["genome"] is None


def test_an_entry_without_data_has_no_figures(model, tmp_path):
    path = kspike.zoo.publish(model, "bare", directory=tmp_path, license="cc0-1.0")
    card = kspike.zoo.card(path)
    assert card["accuracy"] is None and card["energy_mj"] is None
    assert "Not measured" in (path / "README.md").read_text("utf-8")


def test_the_page_says_how_each_number_came_about(released, model):
    text = (released / "README.md").read_text("utf-8")
    card = json.loads((released / "metadata.json").read_text("utf-8"))
    twin = kspike.cost.ann_twin(model)
    figures = (
        f"{100 * card['accuracy']:.2f} %",
        "of 360",
        "95 % interval",
        f"{twin.int8_mj:.6g} mJ in int8",
        "seed 7",
        f"{card['energy_mj']:.6g} mJ",
        '"spikformer"',
        "python tiny.py",
        card["hardware"]["processor"],
        "apache-2.0",
        "## Intended use",
        "## Limits",
        "CC BY 4.0",
    )
    for said in figures:
        assert said in text


def test_no_path_of_this_machine_is_published(released):
    for file in ("README.md", "metadata.json", "config.json"):
        assert str(released.parent.parent) not in (released / file).read_text("utf-8")
