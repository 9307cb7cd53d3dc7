"""Runs a neuron component over time: its step, once a time step, given what of the config it names."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kspike import components
from kspike import surrogate as surrogates
from kspike._types import Currents, Potentials, Spikes
from kspike.ops import charge, level, lif, over, reset, run_program, spike
from kspike.ops.program import Program, trace

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
        inverse = self.component.inverse_tau(**self.weights) if self.weights else None
        tau = {"tau": self.tau} if inverse is None else {"inverse_tau": inverse}
        names = ("v_threshold", "v_reset", "decay_input", "detach_reset", "surrogate")
        return {**tau, **{name: getattr(self, name) for name in names}, **self.component.constants}

    @property
    def program(self) -> Program | None:
        """The component's step as a list of operations; None where it is none, or constants are tensors."""
        numbers = (self.tau, self.v_threshold)
        if not all(isinstance(value, (int, float)) for value in numbers):
            return None
        constants = {"tau": self.tau, "v_threshold": self.v_threshold, "v_reset": self.v_reset}
        return _program(self.component, self.detach_reset, **constants)

    def offered(self) -> dict[str, Any]:
        """All that a step may name."""
        inverse = self.component.inverse_tau(**self.weights)
        time = {"tau": self.tau} if inverse is None else {"inverse_tau": inverse}
        charged = {**time, "v_reset": self.v_reset, "decay_input": self.decay_input}
        after = {"v_threshold": self.v_threshold, "v_reset": self.v_reset, "detach_reset": self.detach_reset}
        return {
            "tau": _TimeConstant(over(**time)),
            "v_threshold": self.v_threshold,
            "v_reset": self.v_reset,
            "spike": lambda u: spike(u, self.surrogate),
            "level": level,
            "charge": lambda v, x: charge(v, x, **charged),
            "reset": lambda h, s: reset(h, s, **after),
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
        states = starts(component, membrane.v_reset)
    if x.shape[1] == 0:
        return ops.cast(x, dtype), states
    if not component.states:
        return ops.cast(_at_once(component, membrane, x), dtype), ()
    # all steps at once: the gradient of a step taken by an index is as large as x, once a step
    steps = ops.unstack(x, axis=1) if x.shape[1] is not None and x.shape[1] <= WRITTEN_OUT else None
    first = x[:, 0] if steps is None else steps[0]
    states = tuple(ops.full_like(first, v) if isinstance(v, float) else ops.cast(v, x.dtype) for v in states)
    offered = membrane.offered()
    given = {name: offered[name] for name in component.named_in_step}

    def step(states: tuple, x_t: Any) -> tuple[tuple, Any]:
        return _stepped(component, component.step(x_t, *states, **given))

    if steps is None:
        after, spikes = _scan(step, states, x)
        return ops.cast(spikes, dtype), after
    out = []
    for x_t in steps:
        states, s = step(states, x_t)
        out.append(s)
    return ops.cast(ops.stack(out, axis=1), dtype), states


def fire(membrane: Membrane, x: Currents, dtype: str) -> Spikes:
    """The spikes of `run` from the component's own states on: where the backend can, by the step's program."""
    program = membrane.program
    if program is None or not x.shape[1]:
        return run(membrane, x, None, dtype)[0]
    if keras.backend.standardize_dtype(x.dtype) not in ("float32", "float64"):
        x = ops.cast(x, "float32")
    spikes = run_program(
        x, program, starts(membrane.component, membrane.v_reset), lambda x: run(membrane, x, None, dtype)[0],
        tau=float(membrane.tau), v_threshold=float(membrane.v_threshold), v_reset=membrane.v_reset,
        decay_input=membrane.decay_input, surrogate=membrane.surrogate,
    )  # fmt: skip
    return run(membrane, x, None, dtype)[0] if spikes is None else ops.cast(spikes, dtype)


def starts(component: components.Neuron, v_reset: float | None) -> tuple[float, ...]:
    """What every state of a neuron starts from."""
    return tuple(float(v_reset or 0.0) if value == "rest" else float(value) for value in component.states.values())


@functools.lru_cache(maxsize=256)
def _program(component: components.Neuron, detach_reset: bool, **constants: Any) -> Program | None:
    reads_reset = "reset" in component.named_in_step and not detach_reset
    if component.weights(2.0) or not component.states or reads_reset:
        return None
    return trace(component.step, len(component.states), component.named_in_step, constants)


def _at_once(component: components.Neuron, membrane: Membrane, x: Currents) -> Spikes:
    """Spikes of a neuron without states: nothing passes from step to step, so that time is folded into the batch."""
    n, known, running = component.at_once, x.shape, ops.shape(x)
    if known[1] is not None and known[1] % n:
        raise ValueError(
            f"The neuron {component.label} takes {n} time steps at once: T must be a multiple of {n}, got {known[1]}."
        )
    size = [running[i] if known[i] is None else known[i] for i in range(1, len(known))]
    flat = ops.reshape(x, (-1, *([n] if n > 1 else []), *size[1:]))
    offered = membrane.offered()
    given = {name: offered[name] for name in component.named_in_step}
    _, spikes = _stepped(component, component.step(flat, **given))
    if tuple(spikes.shape) != tuple(flat.shape):
        raise ValueError(_other_shape(component, tuple(flat.shape), "spikes", tuple(spikes.shape)))
    return ops.reshape(spikes, (-1, *size))


def _other_shape(component: components.Neuron, expected: tuple, name: str, found: tuple) -> str:
    return f"The step of neuron {component.label} must give the shape it takes: for {expected}, {name} came as {found}."


def _scan(step: Any, states: tuple, x: Currents) -> tuple[tuple, Spikes]:
    """(states after the last step, spikes) by one program's loop over axis 1."""
    # Keras' scan on TensorFlow stores what a step gives by the structure of what it carries: the two are the same here.
    carried = states or (ops.zeros_like(x[:, 0]),)

    def body(carried: tuple, x_t: Any) -> tuple[tuple, tuple]:
        after, s = step(tuple(carried[: len(states)]), x_t)
        return after or carried, (s,) * len(carried)

    after, spikes = ops.scan(body, carried, ops.swapaxes(x, 0, 1))
    return tuple(after[: len(states)]), ops.swapaxes(spikes[0], 0, 1)


def _stepped(component: components.Neuron, returned: Any) -> tuple[tuple, Any]:
    """(states, spikes) of what a step returned; refuses other states than it declares, by ValueError."""
    pair = returned if isinstance(returned, tuple) and len(returned) == 2 else (None, None)
    spikes, after = pair
    if not isinstance(after, tuple) or len(after) != len(component.states):
        count = len(after) if isinstance(after, tuple) else "no tuple"
        raise ValueError(
            f"The step of neuron {component.label} must return (spikes, states) with the states it declares, "
            f"{tuple(component.states)}, as a tuple; it returned {count}."
        )
    return after, spikes


@functools.lru_cache(maxsize=256)
def check_step(component: components.Neuron) -> None:
    """Runs a neuron for one step on zeros: a mistake in it is named where a layer is made, not in training.

    Raises:
        ValueError: the step returns other states than the component declares, or gives another shape than it takes.
    """
    weights = {name: ops.convert_to_tensor([start], "float32") for name, start in component.weights(2.0).items()}
    membrane = Membrane(component, 2.0, 1.0, 0.0, True, True, surrogates.get("sigmoid"), weights)
    spikes, states = run(membrane, ops.zeros((2, component.at_once, 3), "float32"), None, "float32")
    shapes = {
        "spikes": ops.shape(spikes[:, 0]),
        **{n: ops.shape(s) for n, s in zip(component.states, states, strict=True)},
    }
    for name, shape in shapes.items():
        if tuple(shape) != (2, 3):
            raise ValueError(_other_shape(component, (2, 3), name, tuple(shape)))


def check_fused(component: components.Neuron) -> None:
    """Compares the fused pass that a neuron names with its step, on currents of which a third meet the threshold.

    Raises:
        ValueError: other spikes.
    """
    weights = {name: ops.convert_to_tensor([start], "float32") for name, start in component.weights(3.0).items()}
    membrane = Membrane(component, 3.0, 1.0, 0.0, True, True, surrogates.get("sigmoid"), weights)
    x = ops.cast(ops.reshape(ops.arange(-96, 288) % 29, (4, 8, 12)), "float32") / 8.0 - 0.75
    stepped, _ = run(membrane, x, None, "float32")
    if bool(ops.any(stepped != lif(x, **membrane.fused))):
        raise ValueError(
            f"The step of neuron {component.label} gives other spikes than the fused pass, which it says computes it "
            f"(fused = {type(component).fused!r}): leave `fused` out."
        )
