"""SpikingJelly 2.0's op_counter itself, on PyTorch networks with the same weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kspike
from kspike.layers import LIF
from tests.outside import twin

pytestmark = pytest.mark.outside


@pytest.mark.parametrize("shape", [(8, 6, 2), (4, 4, 1)])
def test_synaptic_operations_and_multiplications_are_op_counters(shape):
    import torch
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter

    model = twin.fill(kspike.Spikformer(twin.config(input_shape=shape)), zeros=False)
    images = twin.images(5, shape)
    synops, macs = SynOpCounter(), MACCounter()
    with torch.no_grad(), DispatchCounterMode([synops, macs]):
        twin.Twin(model).eval()(torch.from_numpy(images).permute(0, 3, 1, 2))
    multiplied = sum(n for name, n in macs.get_counts()["Global"].items() if "batch_norm" not in str(name))

    report = kspike.cost.measure(model, images, convention="spikingjelly", progress=False)
    print(f"op_counter, 5 images: {synops.get_total():,} SynOps, {multiplied:,} MACs of products")
    print(f"kspike, an image * 5: {5 * report.total('ac'):,.6f} and {5 * report.total('mac'):,.6f}")
    assert 5 * report.total("ac") == pytest.approx(synops.get_total(), rel=1e-12)
    assert 5 * report.total("mac") == pytest.approx(multiplied, rel=1e-12)
    attention = [row.acs for row in report.rows if row.kind == "attention"]
    assert all(attention)  # or this would compare nothing of it


def test_lemaires_energy_is_op_counters():
    """Convolutions with and without stride and a dense layer, of spikes and of real numbers, over two time steps."""
    import torch
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.op_counter import estimate_lemaire_energy
    from torch import nn

    frames = np.random.default_rng(0).integers(-4, 9, (1, 2, 7, 7, 2)).astype("float32") / 4
    each = keras.layers.TimeDistributed
    inputs = keras.Input(frames.shape[1:])
    x = LIF()(each(keras.layers.Conv2D(6, 3, padding="same", use_bias=False), name="a")(inputs))
    x = LIF()(each(keras.layers.Conv2D(8, 3, strides=2), name="b")(x))
    x = each(keras.layers.Flatten())(x)
    model = keras.Model(inputs, LIF()(keras.layers.Dense(5, name="c")(x)))
    rng = np.random.default_rng(1)
    for variable in model.variables:
        variable.assign(rng.integers(-4, 6, tuple(variable.shape)) / 8 + 1 / 64)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.Conv2d(6, 8, 3, stride=2)
            self.c = nn.Linear(72, 5)
            self.lifs = nn.ModuleList(neuron.LIFNode() for _ in range(3))
            for layer, name in ((self.a, "a"), (self.b, "b")):
                kernel, *bias = model.get_layer(name).get_weights()
                layer.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
                if bias:
                    layer.bias.data = torch.from_numpy(bias[0])
            kernel, bias = model.get_layer("c").get_weights()
            self.c.weight.data, self.c.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)

        def forward(self, x):
            for step in x.unbind(1):
                step = self.lifs[1](self.b(self.lifs[0](self.a(step))))
                step = self.lifs[2](self.c(step.permute(0, 2, 3, 1).flatten(1)))
            return step

    theirs = estimate_lemaire_energy(Network().eval(), torch.from_numpy(frames).permute(0, 1, 4, 2, 3))
    report = kspike.cost.measure(model, frames, convention="lemaire", progress=False)
    print(f"op_counter: {theirs.total_pj:,.3f} pJ; kspike: {report.energy_mj * 1e9:,.3f} pJ")
    assert not report.silent and not report.saturated
    assert report.total("ac") == theirs.counts["ac"]
    assert report.total("mac") == theirs.counts["mac"]
    words = sum(n for name, n in theirs.counts.items() if name.endswith("_bytes")) / 4
    assert sum(row.accesses for row in report.rows) == pytest.approx(words)
    assert report.energy_mj * 1e9 == pytest.approx(theirs.total_pj, rel=1e-6)


def test_a_network_found_here_has_the_same_logits_in_spikingjellys_own_model(tmp_path):
    """Loaded strictly, every name used: kspike's default settings, with the pool before the neuron as there."""
    import torch
    from safetensors.torch import load_file
    from spikingjelly.activation_based.model.spikformer import Spikformer

    shape = (16, 16, 3)
    config = kspike.SpikformerConfig(
        input_shape=shape, embed_dim=32, depth=2, num_heads=4, timesteps=3, num_classes=5, pool_after="norm"
    )
    model = twin.fill(kspike.Spikformer(config), zeros=False)
    settings = kspike.convert.to_safetensors(model, tmp_path / "net.safetensors")
    assert set(settings) == {"num_heads", "timesteps", "input_shape", "stem_pool"}
    theirs = Spikformer(
        T=3, img_size_h=16, img_size_w=16, patch_size=4, num_classes=5, embed_dims=32, num_heads=4, depths=2
    ).eval()
    theirs.load_state_dict(load_file(tmp_path / "net.safetensors"))
    images = twin.images(40, shape)
    with torch.no_grad():
        found = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).mean(0).numpy()
    expected = keras.ops.convert_to_numpy(model(images))
    same = np.abs(found - expected).max(axis=1) <= 1e-4
    print(f"SpikingJelly 2.0: {same.sum()} of {len(same)} images have the same logits to 1e-4")
    assert same.mean() >= 0.98 and np.ptp(expected) > 0.1
