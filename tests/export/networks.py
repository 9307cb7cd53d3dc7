"""Networks that together hold every component of kspike's, and needs: what an extra brings, or a skip in one line."""

import importlib.util

import numpy as np
import pytest

import kspike
from kspike import components
from tests.helpers import to_numpy, wake

SMALL = {"num_classes": 4, "embed_dim": 16, "num_heads": 2, "mlp_ratio": 1.0}


def _with(role, residual):
    """kspike's own components of a role that are made for a shortcut."""
    found = [components.get(role, name) for name in components.names(role)]
    return [c for c in found if residual in c.residuals and type(c).__module__.startswith("kspike.")]


def _config(residual, stem, **fields):
    mixers = tuple(c.name for c in _with("mixer", residual))
    mlps = [c.name for c in _with("mlp", residual)]
    depth = len(mixers)
    return kspike.SpikformerConfig(
        residual=residual, stem=stem, depth=depth, mixer=mixers, mlp=tuple(mlps[i % len(mlps)] for i in range(depth)),
        **{"input_shape": (8, 8, 3), "timesteps": 2, **SMALL, **fields},
    )  # fmt: skip


#: Every mixer and MLP stands in the first two; every stem, neuron and way of resetting in one of them.
CONFIGS = {
    "add": lambda: _config("add", "sps", neuron="plif", pool_after="norm", scale=0.5),
    "membrane": lambda: _config("membrane", "spikingformer", decay_input=False, tau=1.5),
    "sdt": lambda: kspike.SpikformerConfig(
        residual="membrane",
        stem="sdt",
        mixer="sdsa1",
        depth=1,
        neuron="if",
        timesteps=2,
        input_shape=(8, 8, 3),
        **SMALL,
    ),
    "events": lambda: kspike.SpikformerConfig(
        stem="single_conv", depth=1, mixer="token_qk", v_reset=None, timesteps=3, input_shape=(3, 8, 8, 2), **SMALL
    ),
    "stages": lambda: kspike.SpikformerConfig(
        **{**SMALL, "embed_dim": (16, 32), "input_shape": (16, 16, 3)}, depth=(1, 1), mixer="token_qk", timesteps=2
    ),
    "levels": lambda: kspike.SpikformerConfig(
        residual="membrane", neuron="integer", depth=1, timesteps=1, input_shape=(8, 8, 3), **SMALL
    ),
    "sps membrane": lambda: kspike.SpikformerConfig(
        residual="membrane", depth=1, v_reset=-0.1, timesteps=4, input_shape=(8, 8, 1), **SMALL
    ),
}


def network(name):
    """A network whose neurons fire."""
    return awake(kspike.Spikformer(CONFIGS[name]()))


def awake(model):
    """Its neurons fire, and not all: a silent network, as one that always fires, would agree with anything."""
    wake(model)
    logits = to_numpy(model(images(model)))
    assert np.ptp(logits, axis=0).max() > 1e-2
    return model


def images(model, count=5):
    rng = np.random.default_rng(1)
    return rng.normal(0.3, 1.0, (count, *model.config.input_shape)).astype("float32")


def needs(*packages):
    """Skips, in one line, what takes a package that is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: pip install 'kspike[onnx,openvino]'")


ONNX = needs("torch", "onnx", "onnxruntime")
OPENVINO = needs("torch", "onnx", "openvino")
TORCH = needs("torch")
TENSORFLOW = needs("tensorflow")
LITERT = needs("tensorflow", "ai_edge_litert")
NIR = needs("nir")

_NIR = {
    "add": {"depth": 3, "mixer": ("token_qk", "channel_qk", "dwconv3"), "stem_pool": (False, False, True, True)},
    "membrane": {
        "residual": "membrane", "stem": "spikingformer", "depth": 4, "timesteps": 2,
        "mixer": ("token_qk", "sdsa1", "identity", "dwconv5"), "mlp": ("spiking", "two_shortcuts") * 2,
    },
    "learned": {"depth": 1, "mixer": "token_qk", "neuron": "plif", "stem": "single_conv", "v_reset": -0.2},
    "if": {"depth": 1, "mixer": "identity", "neuron": "if", "stem": "single_conv"},
    "undivided": {"depth": 1, "mixer": "dwconv7", "decay_input": False, "tau": 1.5, "stem": "single_conv"},
}  # fmt: skip


def nir_config(**fields):
    return kspike.SpikformerConfig(**{"input_shape": (8, 8, 1), "timesteps": 3, **SMALL, **fields})


def nir_network(name):
    """A network that NIR can say; its neurons fire."""
    return awake(kspike.Spikformer(nir_config(**_NIR[name])))
