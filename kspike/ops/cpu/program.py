"""Neuron programs as compiled loops: a step of a user's own, run over time and back in one pass each.

A program (`ops/program`) is written out as a loop over a row, which numba compiles; constants are arguments, so that
one compilation serves every tau and threshold. It takes seconds, once a process: small tensors are left to the step.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from kspike.ops.cpu.compiling import F
from kspike.ops.cpu.neuron_gradient import _slopes
from kspike.ops.cpu.threads import fold, parallel_for
from kspike.ops.program import Program

#: Numbers of a time step from which compiled loops are worth their compilation, and images taken for an unknown batch.
FEWEST, IMAGES = 1 << 14, 16


class Loops(NamedTuple):
    """The compiled loops of a program: forward, and backward."""

    forward: Callable
    backward: Callable


def _names(program: Program) -> dict[str, Any]:
    """What the loops need of a program: its kept values, and its numbers in the order of the constants."""
    operations = program.operations
    first = 1 + program.states
    kept: set[int] = set()
    for name, a, b in operations:
        kept |= {a} if name == "fire" else {b} if name == "reset" else set()  # type: ignore[arg-type]
        kept |= {a, b} if name == "mul" and isinstance(b, int) else set()
    numbers = [o.b for o in operations if isinstance(o.b, float)]
    fires = [first + i for i, o in enumerate(operations) if o.name == "fire"]
    return {"first": first, "kept": sorted(kept), "numbers": numbers, "fires": fires}


def _forward_lines(program: Program, soft: bool, decay_input: bool) -> list[str]:
    lines, number = [], 0
    for i, (name, a, b) in enumerate(program.operations):
        x, y = f"v{a}", f"v{b}"
        if isinstance(b, float):
            y, number = f"k{number}", number + 1
        rest = f"({x} - rest)"
        forms = {
            "charge": f"{x} + ({y} - {rest}) / tau" if decay_input else f"{x} - {rest} / tau + {y}",
            "fire": f"one if {x} >= zero else (zero if {x} < zero else {x})",
            "reset": f"{x} - {y} * threshold" if soft else f"(one - {y}) * {x} + {y} * rest",
            "add": f"{x} + {y}", "sub": f"{x} - {y}", "rsub": f"{y} - {x}", "mul": f"{x} * {y}", "div": f"{x} / {y}",
        }  # fmt: skip
        lines.append(f"v{1 + program.states + i} = {forms[name]}")
    return lines


def _backward_lines(program: Program, soft: bool, decay_input: bool) -> list[str]:
    first, number = 1 + program.states, sum(isinstance(o.b, float) for o in program.operations)
    lines = []
    for i in reversed(range(len(program.operations))):
        name, a, b = program.operations[i]
        g, y = f"g{first + i}", f"v{b}"
        if isinstance(b, float):
            number -= 1
            y = f"k{number}"
        to_a = {
            "charge": f"{g} - {g} / tau", "fire": f"{g} * slope{first + i}[c]",
            "reset": g if soft else f"(one - {y}) * {g}", "add": g, "sub": g, "rsub": f"-{g}", "mul": f"{g} * {y}",
            "div": f"{g} / {y}",
        }[name]  # fmt: skip
        to_b = {"charge": f"{g} / tau" if decay_input else g, "add": g, "sub": f"-{g}", "mul": f"{g} * v{a}"}.get(name)
        lines.append(f"g{a} += {to_a}")
        if to_b is not None and isinstance(b, int):
            lines.append(f"g{b} += {to_b}")
    return lines


@functools.lru_cache(maxsize=64)
def loops(program: Program, soft: bool, decay_input: bool) -> Loops | None:
    """The compiled loops of a program, tried on one row; `soft` and `decay_input` are the neuron's."""
    try:
        made = written(program, soft, decay_input)
        x = np.zeros((1, 1, 1, 1), "float32")
        given = np.zeros(program.states, "float32"), np.ones(3 + len(_names(program)["numbers"]), "float32")
        bounds = np.arange(2)
        made.forward(x, *given, x.copy(), bounds, 0, 1)
        made.backward(x, x, *given, 0, F(1), x.copy(), bounds, 0, 1)
        return made
    except Exception as error:
        warnings.warn(f"kspike: a neuron runs step by step, for numba does not take it ({error!s:.200}).", stacklevel=2)
        return None


def written(program: Program, soft: bool, decay_input: bool) -> Loops:
    """The loops of a program, to be compiled where they are first called."""
    names = _names(program)
    first, kept, fires = names["first"], names["kept"], names["fires"]
    states, total = range(program.states), first + len(program.operations)
    number = "".join(f"    k{i} = numbers[{i + 3}]\n" for i in range(len(names["numbers"])))
    fixed = f"    one, zero, tau, threshold, rest = F(1), F(0), numbers[0], numbers[1], numbers[2]\n{number}"
    s, gs = ("".join(f"{p}{i}, " for i in states) for p in ("s", "gs"))
    keeps = "".join(f"keep{i}, " for i in kept)
    slopes = "".join(f"slope{i}, " for i in fires)
    load = "".join(f"        v{i + 1} = s{i}[c]\n" for i in states)
    body = "".join(f"        {line}\n" for line in _forward_lines(program, soft, decay_input))
    save = "".join(f"        s{i}[c] = v{v}\n" for i, v in enumerate(program.after))
    keep = "".join(f"        keep{i}[c] = v{i}\n" for i in kept)
    zeros = "".join(f"        g{i} = zero\n" for i in range(total))
    above = f"        g{program.spikes} += grad[c]\n" + "".join(
        f"        g{v} += gs{i}[c]\n" for i, v in enumerate(program.after)
    )
    read = "".join(f"        v{i} = keep{i}[c]\n" for i in kept)
    back = "".join(f"        {line}\n" for line in _backward_lines(program, soft, decay_input))
    give = "".join(f"        gs{i}[c] = g{i + 1}\n" for i in states)
    start = "".join(f"        s{i}[:] = starts[{i}]\n" for i in states)
    kept_at = "".join(f"keep{i}[t], " for i in kept)
    nothing = "".join(f"        gs{i}[:] = 0\n" for i in states)
    at = {i: program.operations[i - first].a for i in fires}
    sloped = "".join(f"            slopes_of(kind, alpha, keep{at[i]}[t], F(0), slope{i})\n" for i in fires)
    source = f"""
@compiled
def fire_row(x, {s}numbers, out):
{fixed}    for c in range(x.shape[0]):
        v0 = x[c]
{load}{body}        out[c] = v{program.spikes}
{save}
@compiled
def keep_row(x, {s}{keeps}numbers):
{fixed}    for c in range(x.shape[0]):
        v0 = x[c]
{load}{body}{keep}{save}
@compiled
def back_row(grad, {keeps}{slopes}{gs}numbers, grad_x):
{fixed}    for c in range(grad.shape[0]):
{zeros}{above}{read}{back}        grad_x[c] = g0
{give}
@compiled
def forward(x, starts, numbers, out, bounds, begin, end):
    places, channels = x.shape[2:]
    {s}_ = [np.empty(channels, F) for _ in range({program.states + 1})]
    for row in range(bounds[begin], bounds[end]):
        n, p = row // places, row % places
{start}        for t in range(x.shape[1]):
            fire_row(x[n, t, p], {s}numbers, out[n, t, p])

@compiled
def backward(grad, x, starts, numbers, kind, alpha, grad_x, bounds, begin, end):
    steps, places, channels = x.shape[1:]
    {s}_ = [np.empty(channels, F) for _ in range({program.states + 1})]
    {gs}_ = [np.empty(channels, F) for _ in range({program.states + 1})]
    {keeps}_ = [np.empty((steps, channels), F) for _ in range({len(kept) + 1})]
    {slopes}_ = [np.empty(channels, F) for _ in range({len(fires) + 1})]
    for row in range(bounds[begin], bounds[end]):
        n, p = row // places, row % places
{start}        for t in range(steps):
            keep_row(x[n, t, p], {s}{kept_at}numbers)
{nothing}        for t in range(steps - 1, -1, -1):
{sloped}            back_row(grad[n, t, p], {kept_at}{slopes}{gs}numbers, grad_x[n, t, p])
"""
    found: dict[str, Any] = {"np": np, "F": F, "slopes_of": _slopes}
    found["compiled"] = functools.partial(njit, nogil=True, error_model="numpy")
    exec(source, found)
    return Loops(found["forward"], found["backward"])


class Spec(NamedTuple):
    """A program with its neuron: what `forward` and `backward` are told."""

    program: Program
    starts: tuple[float, ...]
    tau: float
    v_threshold: float
    v_reset: float | None
    decay_input: bool
    surrogate: int
    alpha: float

    @property
    def loops(self) -> Any:
        """Its compiled loops; None, with a warning, where numba does not take them: slower, never wrong."""
        return loops(self.program, self.v_reset is None, self.decay_input)

    @property
    def numbers(self) -> np.ndarray:
        """tau, the threshold, v_reset (0 for a soft reset), and the numbers of the program, float32."""
        own = [o.b for o in self.program.operations if isinstance(o.b, float)]
        return np.array([self.tau, self.v_threshold, self.v_reset or 0.0, *own], "float32")


def spec_of(
    surrogates: Sequence[type], program: Program, starts: tuple[float, ...], shape: tuple, *, surrogate: Any,
    **constants: Any,
) -> Spec | None:  # fmt: skip
    """The spec; None for a small tensor, or a surrogate without a compiled derivative.

    Args:
        surrogates: those with one; the index is the loops' own.
        program, starts, constants: as `kspike.ops.run_program`.
        shape: `(batch, time, ...)`; the batch may be None.
    """
    batch, _, *numbers = shape
    if type(surrogate) not in surrogates or None in numbers or math.prod(numbers) * (batch or IMAGES) < FEWEST:
        return None
    spec = Spec(program, starts, surrogate=surrogates.index(type(surrogate)), alpha=surrogate.alpha, **constants)
    return None if spec.loops is None else spec


def _rows(*arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays (batch, time, ...) as (batch, time, places, channels), long rows."""
    shaped = [a.reshape(*a.shape[:2], -1, a.shape[-1] if a.ndim > 2 else 1) for a in arrays]
    return fold(shaped)[0]


def forward(spec: Spec, x: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Writes the spikes of x `(batch, time, ...)`, float32, into `out`."""
    x, out = _rows(x, out)
    work = functools.partial(spec.loops.forward, x, np.array(spec.starts, "float32"), spec.numbers, out)
    parallel_for(work, x.shape[0] * x.shape[2], x.size, threads)


def backward(spec: Spec, grad_output: np.ndarray, x: np.ndarray, grad_x: np.ndarray, threads: int) -> None:
    """Writes the gradient of x."""
    grad_output, x, grad_x = _rows(grad_output, x, grad_x)
    slope = spec.surrogate, F(spec.alpha)
    starts = np.array(spec.starts, "float32")
    work = functools.partial(spec.loops.backward, grad_output, x, starts, spec.numbers, *slope, grad_x)
    parallel_for(work, x.shape[0] * x.shape[2], x.size, threads)
