"""Differences of spikes: which of them rounding explains."""

import numpy as np
import pytest

from kspike.export.comparing import compare
from kspike.export.running import pack, unpack

pytestmark = pytest.mark.once
NAMES = ["first", "second"]


def stored(folder, logits, spikes, near=()):
    folder.mkdir()
    np.savez(folder / "0.npz", logits=np.asarray(logits, "float32"), **pack([*spikes, *near]))
    return folder


@pytest.fixture
def both(tmp_path):
    """Four images, two neurons: in image 0 nothing, 1 rounding and what follows, 2 rounding alone, 3 no reason."""
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 2, (4, 2, 3)).astype("float32") for _ in NAMES)
    near = [np.zeros((4, 2, 3), bool) for _ in NAMES]
    found = [first.copy(), second.copy()]
    for neuron, image, at, rounding in ((0, 1, 0, True), (1, 1, 2, False), (1, 2, 1, True), (1, 3, 0, False)):
        found[neuron][image, 1, at] = 1 - found[neuron][image, 1, at]
        near[neuron][image, 1, at] = rounding
    logits = np.eye(4)
    other = stored(tmp_path / "other", logits, [first, second], near)
    moved = logits.copy()
    moved[3] = [2.0, 0, 0, 1.0]
    moved[0, 0] += 2.0**-23
    return stored(tmp_path / "found", moved, found[::-1]), other


def test_what_rounding_and_what_nothing_explains(both):
    found, other = both
    report = compare(found, other, other, NAMES[::-1], NAMES, "itself")
    first, second = report.neurons["first"], report.neurons["second"]
    assert (first.compared, first.differing, first.rounding, first.following, first.unexplained) == (24, 1, 1, 0, 0)
    assert (second.compared, second.differing, second.rounding, second.following, second.unexplained) == (
        24,
        3,
        1,
        1,
        1,
    )
    assert first.images == (1,) and second.images == (1, 2, 3)
    assert (report.images, report.classes_changed, report.spikes_compared, report.spikes_differing) == (4, 1, 48, 4)
    assert report.difference == 2.0 and report.ulp == 2.0 * 2**23 and report.unexplained == 1


def test_other_neurons_and_shapes_are_refused(both, tmp_path):
    found, other = both
    with pytest.raises(ValueError, match="Expected the neurons"):
        compare(found, other, other, ["first"], NAMES, "itself")
    short = stored(tmp_path / "short", np.eye(4), [np.ones((4, 1, 3)), np.ones((4, 2, 3))])
    with pytest.raises(ValueError, match=r"spikes of first as \(4, 2, 3\); the file gives \(4, 1, 3\)"):
        compare(short, other, other, NAMES, NAMES, "itself")


@pytest.mark.parametrize("array", [np.arange(24.0).reshape(2, 3, 4) % 2, np.arange(6.0).reshape(2, 3), np.ones((0, 3))])
def test_stored_spikes_are_those_that_were_stored(array, tmp_path):
    np.savez(tmp_path / "a.npz", **pack([np.zeros(3), array]))
    with np.load(tmp_path / "a.npz") as read:
        again = unpack(read, 1)
    assert again.shape == array.shape and (again == array).all()


def test_whole_numbers_differ_by_one_and_real_ones_by_more_than_rounding(tmp_path):
    counts, real = np.array([[0.0, 3, 1]]), np.array([[0.0, 3.0, 1.5]])
    near = [np.zeros((1, 3), bool)] * 2
    other = stored(tmp_path / "other", np.eye(1), [counts, real], near)
    found = stored(tmp_path / "found", np.eye(1), [counts + [0, 0, 1], real + [1e-6, 0, 1e-3]])
    report = compare(found, other, other, NAMES, NAMES, "itself")
    assert [each.differing for each in report.neurons.values()] == [1, 1]
