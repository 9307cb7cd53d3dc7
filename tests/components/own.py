"""Makes components known for the length of a test, from code or from a file, and forgets them."""

import importlib
import sys
import textwrap

import pytest

from kspike.components import registry

MODULE = '''
"""A mixer and a neuron, as a user would write them."""

import dataclasses

import keras

from kspike import components
from kspike.components import parts


@components.register("mixer", "{prefix}_gate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate(components.Mixer):
    """y = LIF(BN(W x)) * LIF(max over tokens of x)."""

    bias: bool = True

    def parts(self):
        return {{
            "gate_neuron": parts.Neuron("attention", "width", tokens=1),
            "proj": parts.Dense("width", "width", bias=self.bias),
            "proj_norm": parts.Norm("width"),
            "proj_neuron": parts.Neuron("proj", "width"),
        }}

    def forward(self, part, x, sizes):
        gate = part.gate_neuron(keras.ops.max(x, axis=2, keepdims=True))
        return part.proj_neuron(part.proj(x), norm=part.proj_norm) * gate


@components.register("neuron", "{prefix}_alif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ALIF(components.Neuron):
    """LIF whose threshold rises with each of its spikes."""

    beta: float = 0.2
    states = {{"v": "rest", "a": 0.0}}

    def step(self, x, v, a, *, charge, reset, v_threshold, spike):
        h = charge(v, x)
        s = spike(h - v_threshold - self.beta * a)
        return s, (reset(h, s), 0.9 * a + s)
'''


def write(folder, name):
    """Writes the module into a folder; its components are `<name>_gate` and `<name>_alif`."""
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(MODULE.format(prefix=name)))
    return path


def forget():
    """Forgets, when it is called, all that was registered since: a function."""
    for role in registry.ROLES:
        registry.names(role)  # kspike's own are found once: they are no part of what is forgotten
    known = {role: dict(names._things) for role, names in registry._REGISTRY.items()}
    defaults = dict(registry._DEFAULTS)

    def back():
        for role, names in registry._REGISTRY.items():
            names._things = known[role]
        registry._DEFAULTS.clear()
        registry._DEFAULTS.update(defaults)

    return back


def unregister(name):
    """Makes the components of the module of `write` unknown, and the module not imported."""
    registry._REGISTRY["mixer"]._things.pop(f"{name}_gate")
    registry._REGISTRY["neuron"]._things.pop(f"{name}_alif")
    registry._DEFAULTS.clear()
    sys.modules.pop(name)


@pytest.fixture
def temporary():
    """What a test registers is gone after it."""
    back = forget()
    yield
    back()


def imported(folder, name, monkeypatch):
    """The module of `write`, imported from its folder."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)
