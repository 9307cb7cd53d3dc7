"""Components as a user writes them, for tests; importing this makes them known."""

import dataclasses

import keras

from kspike import components
from kspike.components import parts
from kspike.components.neurons import integrate, lif


@components.register("mixer", "written_gate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate(components.Mixer):
    """y = LIF(BN(W x)) * LIF(max over tokens of x)."""

    bias: bool = True

    def parts(self):
        return {
            "gate_neuron": parts.Neuron("attention", "width", tokens=1),
            "proj": parts.Dense("width", "width", bias=self.bias),
            "proj_norm": parts.Norm("width"),
            "proj_neuron": parts.Neuron("proj", "width"),
        }

    def forward(self, part, x, sizes):
        gate = part.gate_neuron(keras.ops.max(x, axis=2, keepdims=True))
        return part.proj_neuron(part.proj(x), norm=part.proj_norm) * gate


@components.register("mixer", "written_wrong_gate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class WrongGate(Gate):
    """Right on slices alone: under masks there are zeros beside what is active, and heads are no number."""

    how: str = "channels"

    def parts(self):
        by_heads = {"gate_neuron": parts.Neuron("attention", "heads")} if self.how == "heads" else {}
        return {**super().parts(), **by_heads}

    def forward(self, part, x, sizes):
        y = part.proj_neuron(part.proj(1.0 - x if self.how == "one minus" else x), norm=part.proj_norm)
        if self.how == "heads":
            by_heads = keras.ops.reshape(x, (*x.shape[:-1], sizes.heads, x.shape[-1] // sizes.heads))
            gate = keras.ops.max(part.gate_neuron(keras.ops.sum(by_heads, -1)), axis=-1, keepdims=True)
        else:
            gate = keras.ops.mean(x, axis={"channels": -1, "time": 1, "one minus": 2}[self.how], keepdims=True)
        return y * gate


@components.register("neuron", "written_alif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ALIF(components.Neuron):
    """LIF whose threshold rises with each of its spikes."""

    beta: float = 0.2
    decay: float = 0.9
    states = {"v": "rest", "a": 0.0}

    def step(self, x, v, a, *, charge, reset, v_threshold, spike):
        h = charge(v, x)
        s = spike(h - v_threshold - self.beta * a)
        return s, (reset(h, s), self.decay * a + s)


@components.register("neuron", "written_soft")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Soft(components.Neuron):
    """h = v + (x - v) / tau; v = h - s * v_threshold, whatever v_reset is: it reads none."""

    def step(self, x, v, *, tau, v_threshold, spike):
        h = v + (x - v) / tau
        s = spike(h - v_threshold)
        return s, (h - keras.ops.stop_gradient(s) * v_threshold,)


@components.register("neuron", "written_lif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SteppedLIF(lif.LIF):
    """LIF without its fused pass: a subclass has none."""


@components.register("neuron", "written_if")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SteppedIF(integrate.IF):
    """IF without the fused pass."""


@components.register("neuron", "written_plif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SteppedPLIF(lif.PLIF):
    """PLIF without its fused pass."""


@components.register("neuron", "written_forgetful")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Forgetful(ALIF):
    """Declares two states and returns one."""

    def step(self, x, v, a, *, charge, v_threshold, spike):
        h = charge(v, x)
        return spike(h - v_threshold), (h,)


@components.register("neuron", "written_bare")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Bare(components.Neuron):
    """Returns its state, but no tuple."""

    def step(self, x, v, *, charge, v_threshold, spike):
        h = charge(v, x)
        return spike(h - v_threshold), h


@components.register("neuron", "written_mean")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean(components.Neuron):
    """Keeps one number of all channels."""

    def step(self, x, v, *, charge, v_threshold, spike):
        h = charge(v, x)
        return spike(h - v_threshold), (keras.ops.mean(h, axis=-1, keepdims=True),)


@components.register("neuron", "written_stateless")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Stateless(components.Neuron):
    """A threshold, without a membrane."""

    states = {}

    def step(self, x, *, v_threshold, spike):
        return spike(x - v_threshold), ()
