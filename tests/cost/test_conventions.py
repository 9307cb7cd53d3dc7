"""Conventions: listed with their sources, found by name, and one's own in a few lines."""

from __future__ import annotations

import copy
import dataclasses

import keras
import numpy as np
import pytest

from kspike import cost
from kspike.cost.conventions import base as registry

pytestmark = pytest.mark.shared


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", copy.deepcopy(registry._REGISTRY))


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(4, name="dense")])


ONES = np.ones((2, 2, 3))


def test_every_convention_names_its_source():
    listed = cost.conventions()
    assert "spikformer" in listed
    assert all(len(source) > 20 for source in listed.values())
    assert all(f"{name} " in str(listed) and source in str(listed) for name, source in listed.items())


def test_a_device_of_ones_own(own_registry, model):
    cost.register(cost.Convention("chip", source="its data sheet", mac_pj=2.0, ac_pj=0.5))
    assert cost.conventions()["chip"] == "its data sheet"
    report = cost.measure(model, ONES, convention="chip", progress=False)
    assert report.energy_mj == pytest.approx(0.5 * 24 * 1e-9)
    real = cost.measure(model, ONES / 2, convention="chip", progress=False)
    assert real.energy_mj == pytest.approx(2.0 * 24 * 1e-9)


def test_a_convention_that_charges_something_else(model):
    @dataclasses.dataclass(frozen=True)
    class WithMemory(cost.Convention):
        read_pj: float = 10.0

        def picojoules(self, activity, accumulations, multiplications):
            return super().picojoules(activity, accumulations, multiplications) + self.read_pj * accumulations

    rule = WithMemory("memory", source="a test")
    images = ONES.copy()
    images[0] = 0
    report = cost.measure(model, images, convention=rule, progress=False)
    assert report.energy_mj == pytest.approx((0.9 + 10) * 12 * 1e-9)
    assert report.energy_std_mj == pytest.approx((0.9 + 10) * 24 / np.sqrt(2) * 1e-9)
    assert report.to_dict()["convention"]["read_pj"] == 10.0


def test_mistakes_are_named(own_registry):
    with pytest.raises(ValueError, match="did you mean 'spikformer'"):
        registry.get("spikfomer")
    with pytest.raises(ValueError, match="exists"):
        cost.register(cost.Convention("spikformer", source="mine", ac_pj=0.1))
    with pytest.raises(ValueError, match="needs a name and a source"):
        cost.register(cost.Convention("mine", source=""))
    with pytest.raises(ValueError, match="Expected a kspike.cost.Convention"):
        cost.register("mine")
    cost.register(cost.Convention("spikformer", source="mine", ac_pj=0.1), replace=True)
    assert registry.get("spikformer").ac_pj == 0.1
