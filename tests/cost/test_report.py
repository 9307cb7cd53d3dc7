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

    from kspike.cost.page.picture import png

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
