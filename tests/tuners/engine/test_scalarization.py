"""Scalarization of score and energy: by weight, by the front, and as AutoST's code does, which trades nothing off."""

import numpy as np
import pytest

from kspike.tuners.engine.ranking.scalarization import Scalarization

pytestmark = pytest.mark.once

SCORES, ENERGIES = [4e9, 3e9, 2e9, 1e9], [8.0, 3.0, 2.5, 1.0]


def order(scalarization):
    return np.argsort(-scalarization(SCORES, ENERGIES), kind="stable").tolist()


def test_the_weight_goes_from_the_score_alone_to_the_energy_alone():
    assert order(Scalarization(energy_weight=0.0)) == [0, 1, 2, 3]
    assert order(Scalarization(energy_weight=1.0)) == [3, 2, 1, 0]
    assert order(Scalarization(energy_weight=0.5))[:2] == [1, 2]


def test_both_terms_are_normalised_over_the_shortlist():
    fitness = Scalarization(energy_weight=0.25)(SCORES, ENERGIES)
    np.testing.assert_allclose(fitness, [0.75, 0.75 * 2 / 3 + 0.25 * 5 / 7, 0.25 + 0.25 * 5.5 / 7, 0.25])
    scaled = Scalarization(energy_weight=0.25)([s * 1e3 for s in SCORES], [e * 1e-6 for e in ENERGIES])
    np.testing.assert_allclose(scaled, fitness)  # no unit changes the order
    np.testing.assert_allclose(Scalarization(energy_weight=0.5)([1, 1], [2, 2]), 0.5)


def test_without_a_weight_the_front_comes_first_each_front_by_score():
    scores, energies = [3.0, 5.0, 4.0, 4.0], [1.0, 3.0, 2.0, 9.0]
    fitness = Scalarization()(scores, energies)
    assert np.argsort(-fitness).tolist() == [1, 2, 0, 3]  # the last is dominated by the third
    np.testing.assert_array_equal(Scalarization()(scores, None), scores)


@pytest.mark.parametrize("ld", [0.0, 0.1, 3.0, 10.0, 1e3])
def test_autosts_fitness_has_its_best_at_an_end_wherever_energy_follows_flops(ld):
    flops = np.linspace(4e9, 6e9, 41)
    best = int(np.argmax(Scalarization(fitness="autost", ld=ld)(flops, 2e-9 * flops)))
    assert best in (0, 40)
    weighed = int(np.argmax(Scalarization(energy_weight=0.5)(flops, flops**2)))
    assert 0 < weighed < 40  # the normalised sum does find a balance, where there is one


@pytest.mark.parametrize(
    "options, says",
    [
        ({"energy_weight": 1.5}, "from 0 to 1"),
        ({"fitness": "autostt"}, "did you mean 'autost'"),
        ({"fitness": "autost", "energy_weight": 0.5}, "leave energy_weight out"),
        ({"ld": 0.1}, "give fitness='autost'"),
        ({"fitness": "autost", "ld": -1.0}, "at least 0"),
    ],
)
def test_mistakes_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        Scalarization(**options)
