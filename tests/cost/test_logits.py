"""A measured pass is the pass that a user runs: on torch, where nothing is compiled, to the last bit of every logit."""

import keras
import numpy as np
import pytest

import kspike
from kspike import ops
from kspike.cost.measured.measure import with_logits
from kspike.models.parts import chunks, largest
from tests.helpers import BACKEND

pytestmark = pytest.mark.skipif(BACKEND != "torch", reason="compiled, the measured pass is a program of its own")

#: Sizes at which sparse and dense products both run, by what arrives: `kspike.ops.cpu.sparse.pays`.
LARGE = {"input_shape": (32, 32, 3), "embed_dim": 128, "depth": 1, "num_heads": 4}
SMALL = {"input_shape": (8, 8, 1), "embed_dim": 32, "depth": 2, "num_heads": 2}


def firing(config, dtype):
    """A network all of whose neurons fire at some rate."""
    keras.utils.set_random_seed(0)
    model = kspike.Spikformer(kspike.SpikformerConfig(**config), dtype=dtype)
    rng = np.random.default_rng(1)
    for variable in model.variables:
        if variable.name in ("gamma", "beta"):
            variable.assign(rng.normal(1.0, 0.5, variable.shape))
    return model


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        (LARGE, "float32"),
        (SMALL, "float32"),
        (SMALL, "mixed_bfloat16"),
        ({**SMALL, "residual": "membrane", "neuron": "plif"}, "float32"),
        ({**SMALL, "stem_pool": (False, True, False, True), "pool_after": "norm", "neuron": "if"}, "float32"),
    ],
)
def test_logits_of_a_measured_pass_are_those_of_predict_to_the_last_bit(config, dtype, monkeypatch):
    from kspike.ops.torch import runtime

    model = firing(config, dtype)
    if config is SMALL:  # as batches that are too large to run at once
        monkeypatch.setattr(runtime, "PART", largest(model.config) * 4 * 6)
        assert len(chunks(model.config, model.compute_dtype, np.zeros(16))) > 1
    rng = np.random.default_rng(2)
    sizes = (7, 7, 4) if config is LARGE else (16, 16, 5)
    batches = [
        (rng.normal(0.2, 1.2, (n, *model.input_shape[1:])).astype("float32"), rng.integers(0, 10, n)) for n in sizes
    ]
    report, logits, labels = with_logits(model, batches)
    expected = np.concatenate([np.asarray(model.predict_on_batch(images), "float32") for images, _ in batches])
    assert all(0 < neuron.rate < 1 for neuron in report.neurons)
    np.testing.assert_array_equal(logits[:, -1], expected)
    np.testing.assert_array_equal(labels, np.concatenate([labels for _, labels in batches]))
    assert report.images == sum(sizes)
    assert report.accuracy == np.mean(expected.argmax(-1) == labels)


def test_neither_hooks_nor_reference_operations_change_what_is_counted():
    """The fused pass gives the spikes of the two that it stands for, but where one is within rounding of firing."""
    model = firing(SMALL, "float32")
    images = np.random.default_rng(3).normal(0.2, 1.2, (8, *model.input_shape[1:])).astype("float32")
    report = kspike.cost.measure(model, images, progress=False)
    with ops.portable():
        slow = kspike.cost.measure(model, images, progress=False)
    assert [row.name for row in report.rows] == [row.name for row in slow.rows]
    assert [row.updates for row in report.rows] == [row.updates for row in slow.rows]
    assert report.energy_mj == pytest.approx(slow.energy_mj, rel=1e-3)


def test_labels_are_expected_with_logits():
    model = firing(SMALL, "float32")
    with pytest.raises(ValueError, match="without labels"):
        with_logits(model, np.zeros((2, *model.input_shape[1:]), "float32"))
