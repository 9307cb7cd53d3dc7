"""Early exit: the answers of the full run up to each image's last step, and images that do leave."""

import csv

import keras
import numpy as np
import pytest

import kspike
from kspike import ops
from kspike.models import anytime, early_exit, exit_curve
from kspike.models.early_exit import confidence_of
from tests.helpers import wake

CASES = {
    "add, lif": {},
    "membrane, plif, soft reset": {"residual": "membrane", "neuron": "plif", "v_reset": None},
    "reset to another, pool before the neuron": {"v_reset": -0.1, "pool_after": "norm"},
    "frames": {"input_shape": (4, 8, 8, 1)},
}


def network(**changes):
    config = kspike.SpikformerConfig(
        **{
            "input_shape": (8, 8, 1), "num_classes": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "timesteps": 4,
            "stem_pool": (False, False, True, True), **changes,
        }
    )  # fmt: skip
    return wake(kspike.Spikformer(config))


def images(model, n=11):
    return np.random.default_rng(0).normal(0.5, 1.0, (n, *model.config.input_shape)).astype("float32")


@pytest.fixture(scope="module")
def plain():
    keras.utils.set_random_seed(0)
    return network()


def by_hand(readings, confidence):
    """(logits, steps): image after image, step after step."""
    logits, steps = [], []
    for image in readings:
        for t, y in enumerate(image, 1):
            p = np.exp(y.astype("float64"))
            if (p / p.sum()).max() > confidence or t == len(image):
                break
        logits.append(y)
        steps.append(t)
    return np.stack(logits), np.array(steps)


#: One case with everything that a cut has to carry on; the others compile five programs each for the same claim.
EACH = [case if case.startswith("membrane") else pytest.param(case, marks=pytest.mark.shared) for case in CASES]


@pytest.mark.parametrize("case", EACH)
def test_each_image_is_answered_as_the_full_run_reads_it(case):
    model = network(**CASES[case])
    x = images(model)
    head = model.get_layer("head")
    head.kernel.assign(head.kernel / np.std(model.predict(x, verbose=0)))  # some sure, some not
    readings = anytime(model).predict(x, verbose=0)
    # between two confidences that occur, far from both, so that rounding decides nothing
    sure = np.sort(confidence_of(readings[:, 1]))
    gap = np.argmax(np.diff(sure[3:-3])) + 3
    confidence = float(sure[gap : gap + 2].mean())
    logits, steps = by_hand(readings, confidence)
    assert len(set(steps)) > 1
    found = early_exit(model, x, confidence, batch_size=8)
    np.testing.assert_array_equal(found.steps, steps)
    np.testing.assert_allclose(found.logits, logits, atol=1e-5)
    assert found.mean_steps == steps.mean()


@pytest.mark.shared
def test_where_nothing_leaves_it_is_the_full_run(plain):
    x = images(plain)
    found = early_exit(plain, x, 1.0, batch_size=8)
    assert (found.steps == 4).all()
    np.testing.assert_allclose(found.logits, plain.predict(x, verbose=0), atol=1e-5)


def test_it_leaves_nothing_behind(plain):
    x = images(plain)
    before = plain.predict(x, verbose=0)
    early_exit(plain, x, 0.4)
    np.testing.assert_array_equal(plain.predict(x, verbose=0), before)
    with pytest.raises(ValueError, match="Expected images"):
        early_exit(plain, x[:, :4], 0.4)
    np.testing.assert_array_equal(early_exit(plain, x, 0.4).logits, early_exit(plain, x, 0.4).logits)


def test_a_batch_size_compiles_a_handful_of_programs_once(plain):
    x = images(plain, 19)
    early_exit(plain, x, 0.35, batch_size=8)
    before = ops.compilation_counter()
    assert early_exit(plain, x[:13], 0.45, batch_size=8).steps.max() > 1
    # the largest batch, halves of it, each with and without potentials to start from
    assert ops.compilation_counter() - before <= 3


def test_the_spikes_of_a_neuron_cut_in_two_are_those_of_the_whole():
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(0.8, 1.0, (3, 6, 5, 7)).astype("float32"))
    for options in ({}, {"v_reset": None, "decay_input": False}, {"v_reset": -0.3}):
        whole = ops.lif(x, tau=3.0, **options)
        first, v = ops.lif(x[:, :2], tau=3.0, v=options.get("v_reset", 0.0) or 0.0, **options)
        second, _ = ops.lif(x[:, 2:], tau=3.0, v=v, **options)
        cut = keras.ops.concatenate([first, second], axis=1)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(cut), keras.ops.convert_to_numpy(whole))


@pytest.mark.shared
def test_the_curve_is_what_early_exit_does(plain, tmp_path):
    x = images(plain, 40)
    labels = np.random.default_rng(1).integers(0, 4, 40)
    curve = exit_curve(plain, [(x[:25], labels[:25]), (x[25:], labels[25:])], [0.5, 0.0, 0.4, 1.0])
    assert [e.confidence for e in curve.exits] == [0.0, 0.4, 0.5, 1.0] and curve.images == 40
    for row in curve.exits:
        found = early_exit(plain, x, row.confidence)
        assert row.mean_steps == pytest.approx(found.mean_steps)
        assert row.accuracy == pytest.approx((found.logits.argmax(-1) == labels).mean())
    assert curve.exits[0].mean_steps == 1.0 and curve.exits[0].accuracy == curve.fixed[0]
    assert curve.exits[-1].mean_steps == 4.0 and curve.exits[-1].accuracy == curve.fixed[-1]
    with open(curve.to_csv(tmp_path / "curve.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and float(rows[1]["mean_steps"]) == curve.exits[1].mean_steps
    assert str(curve).count("\n") == 8


@pytest.mark.once
def test_arrays_give_the_curve_of_their_batches(plain):
    x, labels = images(plain, 40), np.random.default_rng(1).integers(0, 4, 40)
    assert exit_curve(plain, (x, labels)) == exit_curve(plain, [(x[:32], labels[:32]), (x[32:], labels[32:])])


@pytest.mark.shared
def test_the_curve_as_a_picture(plain, tmp_path):
    x = images(plain, 4)
    assert exit_curve(plain, [(x, np.zeros(4))]).plot(tmp_path / "curve.png").stat().st_size > 1000


def test_what_cannot_leave_is_refused(plain):
    x = images(plain)
    for options in ({"confidence": 1.5}, {"confidence": -0.1}, {"batch_size": 0}, {"batch_size": True}):
        with pytest.raises(ValueError, match="must be"):
            early_exit(plain, x, **options)
    for function in (early_exit, exit_curve):
        with pytest.raises(ValueError, match="expects a kspike.Spikformer"):
            function("model", x)
    with pytest.raises(ValueError, match="from 0 to 1"):
        exit_curve(plain, [(x, np.zeros(11))], [2.0])
    with pytest.raises(ValueError, match="no batch"):
        exit_curve(plain, [])
    with pytest.raises(ValueError, match="images without labels"):
        exit_curve(plain, x)
    with pytest.raises(ValueError, match="Expected images of shape"):
        exit_curve(plain, [(x[:, :-1], np.zeros(len(x)))])


def test_a_published_network_leaves_early_without_loss():
    model = kspike.zoo.load("auto_spikformer_digits")
    data = kspike.data.load("digits", batch_size=60, seed=0).validation
    curve = exit_curve(model, data)
    assert curve.exits[0].mean_steps == 1.0 and curve.exits[-1].mean_steps == model.config.timesteps
    steps = [e.mean_steps for e in curve.exits]
    assert steps == sorted(steps)
    assert any(1.0 < e.mean_steps < 1.9 and e.accuracy >= curve.fixed[-1] - 0.02 for e in curve.exits)
