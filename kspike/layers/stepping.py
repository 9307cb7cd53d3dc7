"""Runs a neuron component over time: its step, once a time step, given what of the config it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kspike import components
from kspike._types import Currents, Potentials, Spikes
from kspike.components.base import named
from kspike.ops import dispatch, reference, spike

#: Steps up to which the loop is written out; beyond, it is one program's loop.
WRITTEN_OUT = 32


@dataclasses.dataclass(frozen=True)
class Membrane:
    """A neuron component with its parameters, numbers or tensors.

    Args:
        component: the neuron.
        tau, v_threshold: one number, or a tensor.
        v_reset, decay_input, detach_reset, surrogate: as `kspike.layers.LIF`.
        weights: its learned weights by name, one number, or one a channel.
    """

    component: components.Neuron
    tau: Any
    v_threshold: Any
    v_reset: float | None
    decay_input: bool
    detach_reset: bool
    surrogate: Any
    weights: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def fused(self) -> dict[str, Any]:
        """The same as arguments of `kspike.ops.lif`, for a component that it computes."""
        inverse = self.component.inverse_tau(**self.weights)
        tau = {"tau": self.tau} if inverse is None else {"inverse_tau": inverse}
        names = ("v_threshold", "v_reset", "decay_input", "detach_reset", "surrogate")
        return {**tau, **{name: getattr(self, name) for name in names}}

    def offered(self) -> dict[str, Any]:
        """All that a step may name."""
        inverse = self.component.inverse_tau(**self.weights)
        if inverse is None:
            scale = lambda y: dispatch.backend.divide(y, self.tau)
        else:
            scale = lambda y: y * inverse
        held = ops.stop_gradient if self.detach_reset else (lambda s: s)
        return {
            "tau": _TimeConstant(scale),
            "v_threshold": self.v_threshold,
            "v_reset": self.v_reset,
            "spike": lambda u: spike(u, self.surrogate),
            "charge": lambda v, x: reference.charge(v, x, scale, self.v_reset, self.decay_input),
            "reset": lambda h, s: reference.reset(h, held(s), self.v_threshold, self.v_reset),
            **self.weights,
        }


class _TimeConstant:
    """tau as a step takes it: `x / tau` is the quotient of the fused pass, which no compiler rewrites."""

    __array_priority__ = 1000.0

    def __init__(self, scale: Any) -> None:
        self._scale = scale

    def __rtruediv__(self, x: Potentials) -> Potentials:
        return self._scale(x)


def run(
    membrane: Membrane, x: Currents, states: tuple | None, dtype: str
) -> tuple[Spikes, tuple[Potentials | float, ...]]:
    """(spikes, the states after the last step) of `(batch, time, ...)`; None starts from the component's own.

    Raises:
        ValueError: the step returns other states than the component declares.
    """
    component = membrane.component
    if keras.backend.standardize_dtype(x.dtype) not in ("float32", "float64"):
        x = ops.cast(x, "float32")
    if states is None:
        rest = float(membrane.v_reset or 0.0)
        states = tuple(rest if value == "rest" else float(value) for value in component.states.values())
    if x.shape[1] == 0:
        return ops.cast(x, dtype), states
    first = x[:, 0]
    states = tuple(ops.full_like(first, v) if isinstance(v, float) else ops.cast(v, x.dtype) for v in states)
    offered = membrane.offered()
    given = {name: offered[name] for name in named(type(component).step)}

    def step(states: tuple, x_t: Any) -> tuple[tuple, Any]:
        returned = component.step(x_t, *states, **given)
        if not isinstance(returned, tuple) or len(returned) != 2:
            what = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else type(returned).__name__
            raise ValueError(f"The step of neuron {component.label} must return (spikes, states), it returned {what}.")
        s, after = returned
        if not isinstance(after, tuple) or len(after) != len(states):
            count = len(after) if isinstance(after, tuple) else "no tuple"
            raise ValueError(
                f"The step of neuron {component.label} must return (spikes, states) with the states it declares, "
                f"{tuple(component.states)}, as a tuple; it returned {count}."
            )
        for name, y in zip(("spikes", *component.states), (s, *after), strict=True):
            if tuple(y.shape) != tuple(x_t.shape):
                raise ValueError(
                    f"The step of neuron {component.label} must return {name} of the shape it takes, "
                    f"{tuple(x_t.shape)}; it returned {tuple(y.shape)}."
                )
        return after, s

    if x.shape[1] is None or x.shape[1] > WRITTEN_OUT:
        states, spikes = ops.scan(step, states, ops.swapaxes(x, 0, 1))
        return ops.cast(ops.swapaxes(spikes, 0, 1), dtype), tuple(states)
    out = []
    for t in range(x.shape[1]):
        states, s = step(states, x[:, t])
        out.append(s)
    return ops.cast(ops.stack(out, axis=1), dtype), states
