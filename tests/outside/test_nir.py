"""A .nir file in SpikingJelly 2.0 itself, which reads it by nirtorch and runs it step by step."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kspike
from tests.export.networks import images, nir_network

pytestmark = pytest.mark.outside


@pytest.mark.parametrize("name", ["add", "membrane"])
def test_a_file_is_the_same_function_in_spikingjelly(name, tmp_path):
    import torch
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    model = nir_network(name)
    given = images(model, 40)
    report = kspike.export.save(model, tmp_path / "net.nir", images=given)
    assert report.written.unexplained == 0 and report.classes_changed == 0
    theirs = import_from_nir(tmp_path / "net.nir").eval()
    frame, state, steps = torch.from_numpy(given).permute(0, 3, 1, 2), None, []
    with torch.no_grad():
        for _ in range(model.config.timesteps):
            out, state = theirs(frame, state)
            steps.append(out.numpy())
    found = np.mean(steps, axis=0).reshape(len(given), -1)
    expected = keras.ops.convert_to_numpy(model(given))
    same = np.abs(found - expected).max(axis=1) <= 1e-4
    print(f"SpikingJelly 2.0 on {name}: {same.sum()} of {len(same)} images have the same logits to 1e-4")
    assert same.mean() >= 0.98 and np.ptp(expected, axis=0).max() > 1e-3
