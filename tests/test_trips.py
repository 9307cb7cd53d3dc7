"""How far a call travels through kspike's files, as benchmarks/trips.py counts it: each hop beside the work costs time,
and whoever follows a call through the code makes them all."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

import kspike
from kspike.zoo.facts import measure_both

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="compiled programs make no calls")
SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "trips.py"


@pytest.fixture(scope="module")
def trips():
    spec = importlib.util.spec_from_file_location("trips", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model():
    """15 neurons, 5 of them in the stem."""
    return kspike.Spikformer(kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=32, depth=2, num_heads=2))


def counted(trips, run):
    """What a warm run travels."""
    run()
    with trips.followed() as trip:
        run()
    return trip


def test_a_neuron_takes_all_its_arrays_in_one_call(trips, model):
    images = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    trip = counted(trips, lambda: model.predict_on_batch(images))
    neurons = trip.ways["ops/dispatch.py", "ops/torch/neuron.py"]
    assert neurons == 15
    assert trip.ways["ops/torch/neuron.py", "ops/torch/calls.py"] <= 2 * neurons
    assert trip.ways["ops/cpu/neuron.py", "ops/cpu/threads.py"] <= 2 * neurons
    assert trip.moves <= 320


def test_measured_costs_mark_no_place_that_nobody_watches(trips, model):
    images = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    trip = counted(trips, lambda: kspike.cost.measure(model, images, progress=False))
    assert trip.ways["cost/measured/recorder.py", "ops/dispatch.py"] == 0
    assert trip.moves <= 1000


def test_a_layer_is_asked_once_a_batch_whether_it_is_watched(trips, model):
    trip = counted(trips, lambda: model.predict_on_batch(np.zeros((2, 8, 8, 1), "float32")))
    assert trip.ways["models/parts.py", "layers/norm.py"] <= len(list(model._flatten_layers(include_self=False)))


def test_a_view_is_asked_once_for_a_network_and_not_in_every_pass(trips):
    supernet = kspike.Supernet("digits")
    images = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    trip = counted(trips, lambda: supernet.predict_on_batch(images))
    assert trip.ways["supernet/places.py", "supernet/view.py"] == 0
    supernet.activate(supernet.space.smallest())
    with trips.followed() as first:
        supernet.predict_on_batch(images)
    assert first.ways["supernet/places.py", "supernet/view.py"] > 0


def test_a_test_image_is_run_once_to_be_published(trips, model):
    batches = [(np.random.default_rng(0).random((4, 8, 8, 1), "float32"), np.zeros(4, int))]
    trip = counted(trips, lambda: measure_both(model, batches, None))
    assert trip.ways["components/base.py", "components/stems/sps.py"] == 1
