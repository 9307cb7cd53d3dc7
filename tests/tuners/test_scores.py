"""Training-free scores against their formulas, written once more and plainly."""

import keras
import numpy as np
import pytest

import kspike
from kspike import cost
from kspike.layers import LIF, PLIF
from kspike.layers.norm import BatchNorm
from kspike.ops import jit
from kspike.tuners import scores
from kspike.tuners.scores import registry
from kspike.tuners.scores.base import layers_of
from kspike.tuners.scores.evaluating import batch_of
from kspike.tuners.scores.naswot import log_determinant
from tests.helpers import traced, weight_gradients
from tests.tuners.fakes import arrays

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=4, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return kspike.Spikformer(CONFIG)


@pytest.fixture(scope="module")
def batch():
    return batch_of(arrays(12), CONFIG, 12)


def sahd(spikes):
    """SNASNet's score of the spikes (images, T, ...) of every layer, pair by pair."""
    n = len(spikes[0])
    kernel, calls = np.zeros((n, n)), 0
    for layer in spikes:
        for t in range(layer.shape[1]):
            x = layer[:, t].reshape(n, -1)
            size, rate = x.shape[1], x.mean(1)
            for i in range(n):
                for j in range(n):
                    differ = (x[i] != x[j]).sum()
                    r = 0.5 / (size * (rate[i] * (1 - rate[j]) + (1 - rate[i]) * rate[j]) + 1e-3)
                    kernel[i, j] += size - r * differ
            calls += 1
    return np.log(abs(np.linalg.det(kernel / calls)))


def test_naswot_is_the_sparsity_aware_hamming_distance(model, batch):
    neurons = {layer.path: layer for layer in layers_of(model, LIF, PLIF)}
    _, seen = traced(model, neurons, batch[0], training=True)
    expected = sahd([np.asarray(out, np.float64) for _, out in seen.values()])
    found = scores.get("naswot").on(model, *batch)()
    assert len(seen) == 10 and found["naswot"] == pytest.approx(expected, abs=1e-2)


def test_a_network_without_a_spike_has_no_naswot():
    gram = np.zeros((2, 4, 5))
    gram[..., -1] = 7
    assert log_determinant([gram]) == -np.inf


def test_grad_norm_is_the_sum_of_the_kernels_gradients(model, batch):
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    _, gradients = weight_gradients(model, batch[0], lambda out: entropy(batch[1], out))
    expected = sum(np.linalg.norm(gradients[id(v)]) for v in model.trainable_variables if v.name == "kernel")
    assert scores.get("grad_norm").on(model, *batch)()["grad_norm"] == pytest.approx(expected, rel=1e-4)
    assert expected > 0


def convolved(x, kernel):
    """3x3, stride 1, zero padding, (h, w, c) -> (h, w, d)."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    h, w = x.shape[:2]
    return sum(padded[i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3))


def pooled(x):
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    h, w = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
    return np.array([[padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1)) for j in range(w)] for i in range(h)])


def linear(kernels):
    """The sum of logits of the network without neurons and normalisation, attention the mean of its values."""
    x = np.ones(CONFIG.input_shape)
    for i in range(4):
        x = convolved(x, kernels[f"stem/conv_{i}"])
        x = pooled(x) if CONFIG.stem_pool[i] else x
    x = x + convolved(x, kernels["stem/rpe_conv"])
    x = x.reshape(-1, CONFIG.embed_dim)
    values = (x @ kernels["block_0/attention/qkv"])[:, 2 * CONFIG.embed_dim :]
    x = x + np.broadcast_to(values.mean(0), x.shape) @ kernels["block_0/attention/proj"]
    x = x + x @ kernels["block_0/mlp/fc1"] @ kernels["block_0/mlp/fc2"]
    return (x.mean(0) @ kernels["head"]).sum()


def test_synflow_is_what_passes_through_every_weight(model, batch):
    before = model.get_weights()
    found = scores.get("synflow").on(model, *batch)()["synflow"]
    kernels = {
        "/".join(v.path.split("/")[-3 if "stem" in v.path or "head" in v.path else -4 : -1]): np.abs(np.array(v))
        for v in model.trainable_variables
        if v.name == "kernel"
    }
    kernels = {name[name.index(p) :]: k for name, k in kernels.items() for p in ("stem", "block", "head") if p in name}
    whole = linear(kernels)
    # R is linear in each kernel by itself, so that what passes through one is what is lost without it
    through = [whole - linear({**kernels, name: kernel * 0}) for name, kernel in kernels.items()]
    assert len(kernels) == 10 and found == pytest.approx(np.log(sum(through)), rel=1e-4)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_energy_is_that_of_measuring_with_the_batchs_own_statistics(batch):
    keras.utils.set_random_seed(1)
    model = kspike.Spikformer(CONFIG)
    stored = cost.measure(model, batch[0], progress=False)
    found = scores.get("energy").on(model, *batch)()
    for layer in layers_of(model, BatchNorm):
        layer.momentum = 0.0  # one pass then stores the statistics of its batch
    jit(lambda x: model(x, training=True), model.variables)(batch[0])
    report = cost.measure(model, batch[0], progress=False)
    assert found["energy"] == pytest.approx(report.energy_mj, rel=1e-3)
    assert scores.get("synops").on(model, *batch)()["synops"] == pytest.approx(report.total("ac"), rel=1e-3)
    assert found["silent_layers"] == len(report.silent) and found["silent"] == 0
    assert len(stored.silent) > len(report.silent)  # the trap: as stored at first, an untrained network is silent


def test_a_network_that_cannot_fire_is_silent(batch):
    config = CONFIG.replace(v_threshold={"stem": 0.6, "qkv": 90.0, "proj": 90.0, "fc1": 90.0, "fc2": 90.0})
    values = scores.evaluate(config, arrays(12), ["energy"], seeds=1, images=12)
    assert values["silent"].values == (1.0,)


@pytest.mark.shared
def test_a_network_that_fires_more_has_more_synops_and_no_more_flops():
    eager = CONFIG.replace(v_threshold={"stem": 0.4, "qkv": 0.4, "proj": 0.4, "fc1": 0.4, "fc2": 0.4})
    lazy, eager = (scores.evaluate(c, arrays(12), ["flops", "synops"], seeds=1, images=12) for c in (CONFIG, eager))
    assert eager["synops"].mean > 1.5 * lazy["synops"].mean and eager["flops"] == lazy["flops"]
    assert scores.get("synops").direction == "max"


@pytest.mark.shared
def test_a_score_is_taken_for_every_initialisation_and_repeats(batch):
    first = scores.evaluate(CONFIG, arrays(12), ["params", "naswot"], seeds=2, images=12)
    again = scores.evaluate(CONFIG, arrays(12), ["naswot"], seeds=1, images=12, first_seed=1)
    assert first["params"].values == (cost.parameters(CONFIG),)
    assert len(set(first["naswot"].values)) == 2 and first["naswot"].std > 0
    assert again["naswot"].values[0] == pytest.approx(first["naswot"].values[1], abs=1e-3)


@pytest.mark.shared
def test_counted_scores_need_no_data_and_measured_ones_say_so():
    assert scores.evaluate(CONFIG, scores=["flops"])["flops"].mean == cost.flops(CONFIG)
    with pytest.raises(ValueError, match="data is missing"):
        scores.evaluate(CONFIG, scores=["synflow"])
    with pytest.raises(ValueError, match="did you mean 'naswot'"):
        scores.evaluate(CONFIG, scores=["naswott"])


@pytest.mark.shared
def test_a_score_of_ones_own_is_registered_by_name():
    class Depth(scores.Score):
        name, source, counted = "depth_of_test", "this test", True

        def of(self, config):
            return config.depth

    scores.register(Depth())
    assert scores.evaluate(CONFIG, scores=["depth_of_test"])["depth_of_test"].mean == 1
    with pytest.raises(ValueError, match="exists"):
        scores.register(Depth())
    with pytest.raises(ValueError, match="a name and a source"):
        scores.register(type("Nameless", (Depth,), {"source": ""})())


@pytest.mark.once
def test_a_plain_function_is_a_score_wherever_one_is_taken(monkeypatch):
    def tokens_a_head(config):
        return config.tokens / max(config.num_heads)

    found = scores.evaluate(CONFIG, scores=[tokens_a_head, "params"])
    assert found["tokens_a_head"].values == (CONFIG.tokens / 2,) and found["params"].mean == cost.parameters(CONFIG)
    monkeypatch.setattr(registry._REGISTRY, "_things", dict(registry._REGISTRY._things))
    assert scores.register(tokens_a_head) is tokens_a_head and scores.register(tokens_a_head)
    assert scores.get("tokens_a_head") == scores.get(tokens_a_head) != scores.FunctionScore(tokens_a_head, "min")
    for wrong, message in ((3, "Expected a function"), (lambda config: 1, "write it with def")):
        with pytest.raises(ValueError, match=message):
            scores.FunctionScore(wrong)
    with pytest.raises(ValueError, match="direction must be 'max' or 'min', got 'up'"):
        scores.FunctionScore(tokens_a_head, "up")
