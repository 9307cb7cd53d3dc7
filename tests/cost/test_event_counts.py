"""Counts of events: what each convention charges for an integer above 1, worked by hand, and joules where there are."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest

import kspike
from kspike import cost, tuners
from kspike.cost.report.text import as_comparison
from kspike.tuners.scores.energy import Energy, Synops

pytestmark = pytest.mark.shared

#: Three events of one pixel in the middle, then two in a corner; all ON.
EVENTS = kspike.events.Recording(
    t=np.array([0, 1, 2, 60, 100]), x=np.array([1, 1, 1, 0, 0]), y=np.array([1, 1, 1, 0, 0]), p=np.ones(5, int),
    sensor_size=(3, 3),
)  # fmt: skip
SAME = 2 * 9 * (9 * 2) * 2  # 2 steps, 9 places, a window of 9 over 2 polarities, 2 filters: 648, padding in
#: Convention -> (accumulations, multiply-accumulates) of the counts: 5 events meet 9 weights of 2 filters, 90 in all;
#: without padding the pixel in the middle meets 9 and the corner 4 of each filter, 26 pairs.
COUNTS = {
    "spikformer": (90, 0),
    "int8": (90, 0),
    "spikingformer": (0, SAME),
    "spikingformer_counts": (90, 0),
    "syops": (0, SAME),
    "spikingjelly": (0, SAME),
    "lemaire": (0, SAME),
    "neurobench": (0, 26),
    "neurobench_per_call": (0, 26),
}
#: The same of 1 where there is an event, two in all: 36, or 26 pairs; Lemaire's addresses are no accumulations.
BINARY = {name: (26 if name.startswith(("spikingjelly", "neurobench")) else 36, 0) for name in COUNTS}


@pytest.fixture(scope="module")
def convolution():
    inputs = keras.Input((2, 3, 3, 2))
    layer = keras.layers.Conv2D(2, 3, padding="same", use_bias=False, kernel_initializer="ones")
    return keras.Model(inputs, keras.layers.TimeDistributed(layer, name="conv")(inputs), name="events")


def measured(model, convention="spikformer", **framing):
    frames = kspike.events.Framing(timesteps=2, **framing).frames(EVENTS)
    return cost.measure(model, frames[None].astype("float32"), convention, progress=False)


def test_what_counts_of_events_cost_is_what_each_convention_says(convolution):
    counts, ones, logarithms = (measured(convolution, **how) for how in ({}, {"binary": True}, {"log": True}))
    assert set(COUNTS) == set(cost.conventions())
    for name in COUNTS:
        rows = [report.under(name).rows[0] for report in (counts, ones, logarithms)]
        assert (rows[0].acs, rows[0].macs) == pytest.approx(COUNTS[name]), name
        assert (rows[1].acs, rows[1].macs) == pytest.approx(BINARY[name]), name
        assert rows[2].acs == 0 and rows[2].macs == COUNTS["neurobench"][1] if "bench" in name else SAME, name
        said = counts.under(name).convention.integers
        assert said.startswith("added" if COUNTS[name][0] else "multiplied") and said in str(counts.under(name))
    assert counts.rows[0].energy_uj == pytest.approx(0.9 * 90 * 1e-6)
    assert counts.under("spikingformer").rows[0].energy_uj == pytest.approx(4.6 * SAME * 1e-6)


def test_a_convention_of_ones_own_says_how_it_charges_integers():
    few = cost.Convention("few", source="a test", largest_count=7)
    assert "added up to 7" in few.integers and "multiplied" in few.integers


def test_frames_before_integer_neurons_are_added_in_each_of_their_binary_steps():
    """D binary steps a frame: each adds every event of the frame once."""
    config = kspike.SpikformerConfig(
        input_shape=(2, 8, 8, 2), num_classes=3, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
        stem_pool=(False, False, True, True), neuron=kspike.components.get("neuron", "integer"),
    )  # fmt: skip
    frames = np.zeros((1, 2, 8, 8, 2), "float32")
    frames[0, 0, 3, 3, 1], frames[0, 1, 0, 0, 0] = 5, 2
    row = cost.measure(kspike.Spikformer(config), frames, progress=False).rows[0]
    levels, filters = config.neuron_component.levels, config.stem_channels[0]
    assert (row.name, row.macs) == ("stem/conv_0", 0)
    assert row.acs == pytest.approx(levels * 7 * 9 * filters)


def test_operations_without_joules_stand_in_no_table_of_joules(convolution, tmp_path):
    free, charged = measured(convolution, "neurobench"), measured(convolution)
    assert "mJ" in str(charged) and "µJ" in str(charged)
    text = f"{free}\n{as_comparison(free, free)}"
    assert "mJ" not in text and "µJ" not in text and "no joules are shown" in text and "26" in text
    found = json.loads(json.dumps(free.to_dict(), allow_nan=False))
    assert found["energy_mj"] is None and found["readings"][-1]["energy_mj"] is None
    assert found["rows"][0]["energy_uj"] is None and found["rows"][0]["macs"] == 26
    assert charged.to_dict()["rows"][0]["energy_uj"] == charged.rows[0].energy_uj
    for report, there in ((free, False), (charged, True)):
        with open(report.to_csv(tmp_path / "rows.csv"), newline="") as file:
            assert ("energy_uj" in next(csv.reader(file))) is there
        page = report.to_html(tmp_path / "page.html").read_text()
        assert ("µJ" in page) is there and ("no joules are shown" in page) is not there
        assert report.convention.integers in page


@pytest.mark.once
def test_a_search_and_a_score_of_energy_refuse_a_convention_without_joules(tmp_path):
    for made in (
        lambda: Energy("neurobench"),
        lambda: tuners.EvolutionSearch("digits", convention="neurobench", directory=tmp_path),
        lambda: tuners.ZeroCostSearch("digits", convention="neurobench", directory=tmp_path),
    ):
        with pytest.raises(ValueError, match="'neurobench' counts operations"):
            made()
    assert Synops("neurobench").convention.free


@pytest.mark.once
def test_training_logs_no_energy_where_there_is_none(convolution):
    for convention, there in (("neurobench", False), ("spikformer", True)):
        rates = kspike.training.FiringRates(np.ones((2, 2, 3, 3, 2), "float32"), convention=convention)
        rates.set_model(convolution)
        logs = {}
        rates.on_epoch_end(0, logs)
        assert ("energy_mj" in logs) is there and "firing_rate" in logs
