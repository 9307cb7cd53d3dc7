"""NeuroBench 2.3 itself, on a PyTorch network with the same weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kspike
from tests.outside import twin

pytestmark = pytest.mark.outside
N = 8


@pytest.fixture(scope="module", params=[True, False], ids=["pruned", "full"])
def networks(request):
    """(our network, its twin, images): with weights that are 0, and without."""
    model = twin.fill(kspike.Spikformer(twin.config()), zeros=request.param)
    return model, twin.Twin(model).eval(), twin.images(N, model.config.input_shape)


def run(network, images, batch):
    """What NeuroBench finds."""
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    model = TorchModel(network)
    model.add_activation_module(twin.Neuron)
    data = TensorDataset(torch.from_numpy(images).permute(0, 3, 1, 2), torch.zeros(len(images)))
    metrics = [[Footprint, ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    with torch.no_grad():
        return Benchmark(model, DataLoader(data, batch_size=batch), [], [], metrics).run(quiet=True)


def ours(model, images, batch, **kwargs):
    batches = [images[i : i + batch] for i in range(0, len(images), batch)]
    return kspike.cost.neurobench(model, batches, progress=False, **kwargs)


def test_the_two_networks_are_one(networks):
    model, network, images = networks
    import torch

    with torch.no_grad():
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(images)), logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [3, N])
def test_metrics_are_neurobenchs(networks, batch):
    model, network, images = networks
    theirs, found = run(network, images, batch), ours(model, images, batch, per_call=True)
    print(f"NeuroBench, batches of {batch}: {theirs}\nkspike, per call:         {found}")
    assert found["SynapticOperations"] == theirs["SynapticOperations"]
    assert found["ActivationSparsity"] == pytest.approx(theirs["ActivationSparsity"], abs=1e-12)
    assert found["ConnectionSparsity"] == theirs["ConnectionSparsity"]
    counters = sum(8 for module in network.modules() if hasattr(module, "num_batches_tracked"))
    assert found["Footprint"] == theirs["Footprint"] - counters


def test_decided_once_the_batch_size_has_no_effect(networks):
    """Three images of -1, 0 and 1 are spikes to NeuroBench in a batch of their own, and real numbers beside others."""
    model, network, images = networks
    whole = run(network, images, N)["SynapticOperations"]
    for batch in (1, 3, N):
        found = ours(model, images, batch)["SynapticOperations"]
        assert found == pytest.approx(whole, rel=1e-12)
    assert run(network, images, 3)["SynapticOperations"]["Effective_ACs"] > whole["Effective_ACs"]
