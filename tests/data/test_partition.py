"""Cuts by image id: balanced, nested, disjoint, and the same for ever."""

import numpy as np
import pytest

from kspike.data import partition, published

pytestmark = pytest.mark.once

IDS = np.array([f"train_{i:05d}" for i in range(1000)])
LABELS = np.array([0] * 700 + [1] * 200 + [2] * 100)


def test_every_beginning_of_the_order_holds_the_classes_in_proportion():
    order = partition.fixed_order(IDS, LABELS, "x")
    assert sorted(order.tolist()) == list(range(1000))
    for n in (10, 50, 333):
        np.testing.assert_allclose(np.bincount(LABELS[order[:n]], minlength=3), n * np.array([0.7, 0.2, 0.1]), atol=1)


def test_the_choice_follows_the_ids_whatever_the_order_of_the_files():
    shuffled = np.random.default_rng(0).permutation(1000)
    here, _ = partition.choose(IDS, LABELS, 100, "x")
    there, _ = partition.choose(IDS[shuffled], LABELS[shuffled], 100, "x")
    assert set(IDS[here]) == set(IDS[shuffled][there])


def test_the_order_is_the_one_published_with_the_first_release():
    # Constants: a change here would silently move images between training and validation of every published result.
    order = partition.fixed_order(IDS, LABELS, "cifar10/validation")
    assert IDS[order[:4]].tolist() == ["train_00013", "train_00688", "train_00744", "train_00384"]
    assert (
        partition.digest({"b": IDS[:2], "a": IDS[2:3]})
        == "9725e0d723f4c5b961e42626bccf3dc0153c348867882eb67964140a68da3a01"
    )


def test_smaller_choices_lie_within_larger_ones_and_the_rest_is_the_rest():
    few, _ = partition.choose(IDS, LABELS, 50, "x")
    many, rest = partition.choose(IDS, LABELS, 100, "x")
    assert set(few) <= set(many) and not set(many) & set(rest) and len(many) + len(rest) == 1000


def test_purposes_choose_independently():
    one, _ = partition.choose(IDS, LABELS, 500, "x")
    other, _ = partition.choose(IDS, LABELS, 500, "y")
    assert 200 < len(set(one) & set(other)) < 300


def test_halves_are_disjoint_complete_and_equal_within_each_class():
    first, second = partition.halve(IDS, LABELS, "x")
    assert sorted([*first, *second]) == list(range(1000))
    assert (np.abs(np.bincount(LABELS[first]) - np.bincount(LABELS[second])) <= 1).all()


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100"])
def test_published_positions_give_the_published_hash(name):
    known = published.published(name)
    parts = {part: known[part] for part in ("validation", "test") if part in known}
    for positions in parts.values():
        assert positions == sorted(set(positions))
    ids = {part: np.array([known["id_format"].format(i) for i in positions]) for part, positions in parts.items()}
    assert partition.digest(ids) == known["sha256"]
    assert len(parts["validation"]) == (285 if name == "digits" else 5000)


def test_another_cut_of_a_known_set_does_not_pass_unnoticed():
    with pytest.warns(UserWarning, match="not the published ones"):
        published.check("cifar10", "0" * 64)
    published.check("unheard_of", "0" * 64)
