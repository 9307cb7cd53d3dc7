"""The ANN twin: the same products once, as multiplications."""

from __future__ import annotations

import numpy as np
import pytest

import kspike
from kspike import cost
from tests.cost.networks import images, random_config
from tests.helpers import BACKEND

pytestmark = pytest.mark.once


def test_the_twin_of_spikformer_4_384():
    twin = cost.ann_twin(kspike.SpikformerConfig())
    convolutions = 1_327_104 + 42_467_328 + 2 * 169_869_312 + 84_934_656
    blocks = 4 * (37_748_736 + 75_497_472 + 3_145_728)  # the attention's products are in
    assert twin.macs == convolutions + blocks + 3840
    assert twin.float32_mj == pytest.approx(4.6e-9 * twin.macs)
    assert twin.int8_mj == pytest.approx(0.23e-9 * twin.macs)


def test_a_still_image_passes_once_and_frames_one_by_one():
    still = kspike.SpikformerConfig(input_shape=(8, 8, 2), timesteps=4, embed_dim=16, depth=1, num_heads=2)
    frames = still.replace(input_shape=(4, 8, 8, 2))
    assert cost.ann_twin(still).macs == cost.ann_twin(still.replace(timesteps=2)).macs
    head = 16 * still.num_classes
    assert cost.ann_twin(frames).macs - head == 4 * (cost.ann_twin(still).macs - head)


@pytest.mark.slow
def test_a_report_has_the_twin_of_its_model():
    for seed in range({"torch": 4, "tensorflow": 1, "jax": 1}[BACKEND]):
        config = random_config(seed)
        report = cost.measure(kspike.Spikformer(config), images(config, 2), progress=False)
        assert report.ann == cost.ann_twin(config)
        assert report.to_dict()["ann_twin"]["int8_mj"] == report.ann.int8_mj


def test_a_twin_needs_an_architecture():
    with pytest.raises(ValueError, match="Expected a SpikformerConfig"):
        cost.ann_twin(np.ones(3))
