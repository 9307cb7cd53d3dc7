"""Inference of a large batch by parts: the answers of the whole, and not where somebody looks at whole batches."""

import keras
import numpy as np
import pytest

import kspike
from kspike.models.parts import largest
from tests.helpers import BACKEND, to_numpy, wake

pytestmark = pytest.mark.skipif(BACKEND != "torch", reason="the torch backend alone takes batches apart")

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=4, embed_dim=16, depth=1, num_heads=2, timesteps=3,
    stem_pool=(False, False, True, True),
)  # fmt: skip


@pytest.fixture
def sizes(monkeypatch):
    """The batch sizes that the stem of a model sees, where a part holds at most three images."""
    monkeypatch.setattr("kspike.ops.torch.runtime.PART", 3 * 4 * largest(CONFIG))

    def of(model):
        seen = []
        stem = model.get_layer("stem") if isinstance(model, kspike.Spikformer) else model.stem
        build = stem.conv_layers[0].__class__.call

        def counted(self, x, *args, **kwargs):
            if self is stem.conv_layers[0]:
                seen.append(x.shape[0] // CONFIG.timesteps)
            return build(self, x, *args, **kwargs)

        monkeypatch.setattr(stem.conv_layers[0].__class__, "call", counted)
        return seen

    return of


def images(n=8):
    return np.random.default_rng(0).normal(0.5, 1.0, (n, 8, 8, 1)).astype("float32")


def test_parts_answer_as_the_whole(sizes, monkeypatch):
    model = wake(kspike.Spikformer(CONFIG))
    seen = sizes(model)
    found = model.predict(images(), batch_size=8, verbose=0)
    assert seen == [3, 3, 2]
    monkeypatch.setattr("kspike.ops.torch.runtime.PART", 2**40)
    np.testing.assert_allclose(found, model.predict(images(), batch_size=8, verbose=0), atol=1e-6)
    assert seen[3:] == [8]
    assert model(images(0)).shape == (0, 4)


def test_a_supernet_too(sizes, monkeypatch):
    supernet = wake(kspike.Supernet("digits"))
    monkeypatch.setattr("kspike.ops.torch.runtime.PART", 3 * 4 * largest(supernet.config))
    seen = sizes(supernet)
    found = supernet.predict(images(), batch_size=8, verbose=0)
    assert len(seen) == 3
    monkeypatch.setattr("kspike.ops.torch.runtime.PART", 2**40)
    np.testing.assert_allclose(found, supernet.predict(images(), batch_size=8, verbose=0), atol=1e-5)


@pytest.mark.parametrize("case", ["training", "gradients", "hook", "firing", "regularizer", "reference"])
def test_whole_batches_where_they_matter(case, sizes):
    import torch

    model = wake(kspike.Spikformer(CONFIG, spike_regularizer="l1" if case == "regularizer" else None))
    seen = sizes(model)
    if case == "hook":
        model.get_layer("block_0").register_forward_hook(lambda *_: None)
    if case == "firing":
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), [kspike.metrics.FiringRate(model)])
    if case == "reference":
        kspike.ops.use_reference(True)
    try:
        with torch.set_grad_enabled(case == "gradients"):
            model(images(), training=case == "training")
    finally:
        kspike.ops.use_reference(False)
    assert seen == [8]


def test_the_report_counts_whole_batches(sizes, monkeypatch):
    model = wake(kspike.Spikformer(CONFIG))
    found = kspike.cost.measure(model, images(), progress=False)
    monkeypatch.setattr("kspike.ops.torch.runtime.PART", 2**40)
    assert found.energy_mj == kspike.cost.measure(model, images(), progress=False).energy_mj
    assert to_numpy(model(images())).shape == (8, 4)


def test_the_largest_tensor():
    whole = kspike.SpikformerConfig()  # 192 channels of 32 x 32 pixels, before the first pool
    assert largest(whole) == 4 * 192 * 32 * 32
    assert largest(whole.replace(mlp_ratio=16.0)) == 4 * 64 * 16 * 384
