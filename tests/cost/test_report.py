"""The report as table, data and page."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import json
import os
import re

import keras
import numpy as np
import pytest

from kspike import cost
from kspike.layers import LIF

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def report():
    """Two products and two neuron layers, of which one never and one always fires."""
    inputs = keras.Input((2, 4))
    first = keras.layers.Dense(3, use_bias=False, name="first")
    second = keras.layers.Dense(3, use_bias=False, name="second")
    x = LIF(name="always")(first(inputs))
    x = LIF(name="never")(second(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(x), name="tiny")
    first.set_weights([np.full((4, 3), 9.0)])
    second.set_weights([np.full((3, 3), -1.0)])
    measured = cost.measure(model, np.ones((3, 2, 4)), progress=False)
    # names that a page must escape, which TensorFlow's graphs would not take
    rows = [dataclasses.replace(row, name="<last>") if row.name == "last" else row for row in measured.rows]
    return dataclasses.replace(measured, model="tiny & mine", rows=tuple(rows))


def test_silent_and_saturated_layers_are_pointed_out(report):
    assert (report.silent, report.saturated) == (("never",), ("always",))
    assert [row.silent for row in report.rows] == [False, False, True]
    silent, saturated = report.advice()
    assert "never" in silent and "lower v_threshold" in silent
    assert "always" in saturated and "higher v_threshold" in saturated


def test_the_table_shows_every_layer_and_the_totals(report):
    text = str(report)
    for word in ("first", "second", "<last>", "silent", "1.0000", "tiny & mine", "spikformer", "4.6 pJ"):
        assert word in text
    assert f"{report.energy_mj:.6g} mJ" in text
    assert "\x1b" not in text
    assert "Silent (no spike in 3 images): never" in text


def test_totals(report):
    # 2 steps * 4 * 3, then 2 * 3 * 3, all of it spikes; nothing reaches the last
    assert report.total("ac") == 24 + 18
    assert report.total("mac") == 0
    assert report.total("dense") == 24 + 18 + 12
    assert report.energy_mj == pytest.approx(0.9 * 42 * 1e-9)
    with pytest.raises(ValueError, match="did you mean 'mac'"):
        report.total("macs")


def test_json_and_csv_hold_the_same_numbers(report, tmp_path):
    data = json.loads(report.to_json(tmp_path / "r.json").read_text())
    assert data["accuracy"] is None and data["readings"][-1]["energy_mj"] == pytest.approx(report.energy_mj)
    assert data == json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["energy_mj"] == report.energy_mj
    assert [row["name"] for row in data["rows"]] == ["first", "second", "<last>"]
    assert data["neurons"][0]["rates"] == [1.0, 1.0]
    with open(report.to_csv(tmp_path / "r.csv"), newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["energy_uj"]) for line in lines] == [row.energy_uj for row in report.rows]
    assert lines[0]["rate_1"] == "1.0"


class _Page(html.parser.HTMLParser):
    """Tags left open, addresses loaded from, and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "wbr", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(report, tmp_path):
    source = report.to_html(tmp_path / "r.html").read_text()
    page = _Page()
    page.feed(source)
    assert page.open == []
    assert all(address.startswith("data:image/png;base64,") for address in page.loads) and page.loads
    assert "http" not in source and "<script" not in source
    assert "tiny & mine" in page.text and "<last>" in page.text and "never silent" in page.text
    # three neurons fire at both steps, in one layer
    assert re.search(r'<path d="([^"]+)"', source).group(1).count("M") == 6


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 3), (2, 4, 4, 2), (5,)])
def test_images_of_every_kind_become_pictures(shape):
    import base64
    import struct

    from kspike.pages import png

    raw = base64.b64decode(png(np.random.default_rng(0).normal(size=shape)).split(",")[1])
    width, height = struct.unpack(">II", raw[16:24])
    assert raw[:4] == b"\x89PNG"
    assert (height, width) == ((1, 5) if shape == (5,) else (4, 4))


def test_a_write_that_fails_leaves_the_old_file(report, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text("old")

    def full(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        report.to_json(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reading_after_t_steps_is_the_network_of_t_steps():
    """Accuracy and energy by step, from one pass, are those of the same weights with T = t."""
    from kspike import Spikformer, SpikformerConfig

    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(12, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 12)
    config = SpikformerConfig(
        input_shape=(8, 8, 1), num_classes=3, timesteps=3, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
        stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.02,
    )  # fmt: skip
    keras.utils.set_random_seed(0)
    model = Spikformer(config)
    # normalisation by what arrives, or nothing would fire
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(keras.ops.full(layer.moving_variance.shape, 0.01))
    report = cost.measure(model, (images, labels), progress=False)
    assert report.accuracy == report.readings[-1].accuracy and len(report.readings) == 3
    assert report.readings[-1].energy_mj == pytest.approx(report.energy_mj)
    assert report.label == labels[0]
    for reading in report.readings:
        short = Spikformer(config.replace(timesteps=reading.step))
        short.set_weights(model.get_weights())
        logits = keras.ops.convert_to_numpy(short(images))
        assert reading.accuracy == pytest.approx(np.mean(logits.argmax(-1) == labels))
        assert reading.answer == logits[0].argmax()
    energy = cost.measure(short, images, progress=False).energy_mj  # the last is the whole
    assert energy == pytest.approx(report.energy_mj)
    first = Spikformer(config.replace(timesteps=1))
    first.set_weights(model.get_weights())
    # from means over all steps: what is charged by one rate is exact, and nothing here is charged by two
    assert report.readings[0].energy_mj == pytest.approx(cost.measure(first, images, progress=False).energy_mj)


def test_a_limit_of_images_is_those_images_alone():
    inputs = keras.Input((2, 4))
    model = keras.Model(inputs, LIF(v_threshold=0.5)(keras.layers.Dense(3, use_bias=False)(inputs)))
    images = np.random.default_rng(0).normal(size=(50, 2, 4)).astype("float32")
    some = cost.measure(model, images, images=37, progress=False)
    assert some.images == 37
    assert some.neurons == cost.measure(model, images[:37], progress=False).neurons
    with pytest.raises(ValueError, match="images must be at least 1"):
        cost.measure(model, images, images=0)


def test_two_reports_share_a_page_and_a_file(report, tmp_path):
    other = dataclasses.replace(report, model="another")
    page = _Page()
    source = report.to_html(tmp_path / "two.html", other).read_text()
    page.feed(source)
    assert page.open == [] and "http" not in source and "<script" not in source
    assert "tiny & mine" in page.text and "another" in page.text
    with open(report.to_csv(tmp_path / "two.csv", other), newline="") as file:
        assert [line["model"] for line in csv.DictReader(file)] == ["tiny & mine"] * 3 + ["another"] * 3
    priced = dataclasses.replace(other, convention=dataclasses.replace(report.convention, name="else"))
    with pytest.raises(ValueError, match="two conventions do not compare"):
        report.to_html(tmp_path / "two.html", priced)
