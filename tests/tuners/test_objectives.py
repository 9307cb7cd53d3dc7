"""Objectives score as they say and refuse what has no meaning."""

import keras_tuner
import pytest

from kspike.tuners import AEB, FunctionObjective, objectives

pytestmark = pytest.mark.once


def test_aeb_is_accuracy_times_a_power_of_relative_energy():
    reference = {"energy_mj": 0.2}
    score = AEB(beta=0.02).value({"accuracy": 0.9, "energy_mj": 0.1}, reference)
    assert score == pytest.approx(0.9 * 0.5**-0.02)
    assert score - 0.9 == pytest.approx(0.0126, abs=1e-4)  # half the energy is worth about 1.2 points
    assert AEB(beta=0.0).value({"accuracy": 0.9, "energy_mj": 0.1}, reference) == 0.9
    assert AEB(beta=0.02).value({"accuracy": 0.9, "energy_mj": 0.2}, reference) == 0.9


def test_the_reference_fixes_the_scale_and_never_the_order():
    nets = [
        {"accuracy": 0.9, "energy_mj": 0.1},
        {"accuracy": 0.88, "energy_mj": 0.02},
        {"accuracy": 0.5, "energy_mj": 1e-3},
    ]
    orders = []
    for energy in (0.001, 0.1, 10.0):
        scores = [AEB(0.02).value(net, {"energy_mj": energy}) for net in nets]
        orders.append(sorted(range(3), key=lambda i: -scores[i]))
    assert orders[0] == orders[1] == orders[2] == [1, 0, 2]


def test_a_silent_network_does_not_win_by_costing_nothing():
    assert AEB(0.02).value({"accuracy": 0.1, "energy_mj": 0.0}, {"energy_mj": 1.0}) < 0.2


def test_aeb_is_a_keras_tuner_objective_to_be_maximised():
    objective = AEB()
    assert isinstance(objective, keras_tuner.Objective)
    assert (objective.name, objective.direction, objective.beta) == ("aeb", "max", 0.02)
    assert objective.better_than(2, 1) and AEB(0.02) == AEB(0.02) != AEB(0.05)
    for beta in (-1, float("nan"), "much", True):
        with pytest.raises(ValueError, match="beta"):
            AEB(beta=beta)


def test_metrics_and_functions_are_objectives_too():
    metrics, reference = {"accuracy": 0.5, "energy_mj": 2.0}, {"energy_mj": 4.0}
    assert objectives.resolve(None) == AEB()
    for name, direction in (("accuracy", "max"), ("energy_mj", "min")):
        objective = objectives.resolve(name)
        assert objective.direction == direction and objectives.value(objective, metrics, reference) == metrics[name]
    own = FunctionObjective(lambda m, largest: m["accuracy"] - m["energy_mj"] / largest["energy_mj"], "max", "own")
    assert objectives.value(objectives.resolve(own), metrics, reference) == 0.0
    assert objectives.describe(own) == {"name": "own", "direction": "max"}


@pytest.mark.parametrize(
    "objective, message",
    [
        ("acuracy", "acuracy.*accuracy"),
        (["accuracy", "energy_mj"], "meaningless"),
        (keras_tuner.Objective("val_auc", "max"), "val_auc.*known"),
    ],
)
def test_what_no_evaluation_gives_is_refused(objective, message):
    with pytest.raises(ValueError, match=message):
        objectives.resolve(objective)
