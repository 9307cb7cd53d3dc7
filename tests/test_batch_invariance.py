"""An image's answer never depends on the images beside it: every component and every published architecture."""

import numpy as np
import pytest

from kspike import Spikformer, SpikformerConfig, _named, components
from kspike.components import BRANCHES
from tests.helpers import BACKEND, to_numpy, wake

OWN = [
    (field, word)
    for field, role in {
        "stem": "stem",
        "downsample": "downsample",
        "head": "head",
        "neuron": "neuron",
        **BRANCHES,
    }.items()
    for word in components.names(role)
    if type(components.get(role, word)).__module__.startswith("kspike.")  # other files of tests register theirs
]
#: Small forms of the published architectures, of each shape once.
ARCHITECTURES = [name for name in _named.names() if name.endswith(("_c10", "_dvs", "v2_15m_in1k", "v3_t_in1k"))]
# Compiled, each is a program of its own.
RARELY = {True: pytest.mark.slow, False: pytest.mark.proof}
OFTEN = {("mixer", "token_qk"), ("mixer", "ssa"), ("stem", "peds"), ("neuron", "plif")}


def small(field, word):
    """A network of two stages with a component in its place."""
    role = BRANCHES.get(field, field)
    residuals = getattr(components.get(role, word), "residuals", ("add", "membrane"))
    residual = residuals[0]
    usual = {
        "stem": "spikingformer" if residual == "membrane" else "sps",
        "downsample": "sps" if residual == "add" else "strided",
    }
    return SpikformerConfig(
        **{
            "input_shape": (16, 16, 2),
            "num_classes": 5,
            "timesteps": 2,
            "embed_dim": (16, 32),
            "depth": (1, 1),
            "num_heads": 2,
            "mlp_ratio": 2.0,
            "residual": residual,
            **usual,
            field: word,
        }  # fmt: skip
    )


def narrow(name):
    config = SpikformerConfig.named(name)
    widths = tuple(16 * 2 ** min(s, 1) for s in range(config.stages))
    side = 64 if config.image_shape[0] > 64 else 32
    shape = (side, side, config.image_shape[2])
    steps = min(config.timesteps, 4)
    return config.replace(
        depth=(1,) * config.stages if config.stages > 1 else 1,
        embed_dim=widths if config.stages > 1 else 16,
        stem_channels=None, num_heads=2, input_shape=(steps, *shape) if config.has_time else shape, timesteps=steps,
    )  # fmt: skip


def answers(model, images):
    return to_numpy(model.predict_on_batch(images)).astype("float64")


def check(config):
    model = wake(Spikformer(config))
    images = np.random.default_rng(0).random((8, *config.input_shape)).astype("float32")
    if config.has_time:
        images = np.floor(3 * images)
    together = answers(model, images)
    for _ in range(12):  # networks that are silent answer alike, and would show nothing
        if together.std(axis=0).mean() > 1e-3:
            break
        for variable in model.weights:
            if "moving_variance" in variable.path:
                variable.assign(variable * 0.25)
        together = answers(model, images)
    assert together.std(axis=0).mean() > 1e-3, "the network is silent"
    order = np.random.default_rng(1).permutation(8)
    np.testing.assert_allclose(answers(model, images[order]), together[order], rtol=0, atol=1e-5)
    cut = np.concatenate([answers(model, images[:3]), answers(model, images[3:])])
    np.testing.assert_allclose(cut, together, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "field, word",
    [
        pytest.param(
            *each, marks=() if BACKEND == "torch" else pytest.mark.slow if each in OFTEN else pytest.mark.proof
        )
        for each in OWN
    ],
)
def test_of_every_component(field, word):
    check(small(field, word))


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.skipif(BACKEND != "torch", reason="its components are tested on every backend")
def test_of_every_published_architecture(name):
    check(narrow(name))
