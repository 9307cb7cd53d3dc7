"""Neuron programs under PyTorch on a CPU: forward and backward in parts of the tensor that stay in cache.

Autograd keeps what every operation of every step gave, and reads it again from memory: of a step of a dozen operations
that is most of its time. Here x alone is kept. Backward runs the steps again, a part of the neurons at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from kspike.ops.program import Program
from kspike.ops.torch.steps import fired, slope_of
from kspike.ops.torch.transforms import transformed

#: Numbers of one time step that a part has for every thread: its tensors, two dozen, stay in the cache of a core.
PART = 32768
#: Fewer numbers than this take the same time either way.
FEWEST = 4096


class Constants(NamedTuple):
    """What charge, reset and fire of a program are told."""

    tau: float
    v_threshold: float
    v_reset: float | None
    decay_input: bool
    surrogate: Any


def _step(program: Program, values: list, c: Constants) -> list:
    """Appends what every operation gives to x and the states."""
    for name, a, b in program.operations:
        x = values[a]
        y: Any = values[b] if isinstance(b, int) else b
        if name == "charge":
            values.append(_charge(x, y, c))
        elif name == "fire":
            values.append(fired(x, 0.0))
        elif name == "reset":
            values.append(_reset(x, y, c))
        elif name == "add":
            values.append(x + y)
        elif name == "sub":
            values.append(x - y)
        elif name == "rsub":
            values.append(y - x)
        elif name == "mul":
            values.append(x * y)
        else:
            values.append(x / y)
    return values


def _charge(v: torch.Tensor, x: torch.Tensor, c: Constants) -> torch.Tensor:
    rest = v - c.v_reset if c.v_reset else v
    if c.decay_input:
        return (x - rest).div_(c.tau).add_(v)
    h = rest / c.tau
    return torch.sub(v, h, out=h).add_(x)


def _reset(h: torch.Tensor, s: torch.Tensor, c: Constants) -> torch.Tensor:
    if c.v_reset is None:
        v = s * c.v_threshold
        return torch.sub(h, v, out=v)
    kept = (1.0 - s).mul_(h)
    return kept.add_(s * c.v_reset) if c.v_reset else kept


def _back(program: Program, values: list, grads: list, c: Constants) -> list:
    """The gradients of x and the states, of those of all values; None is zero. Nothing is written over."""
    first = 1 + program.states

    def give(to: Any, grad: torch.Tensor) -> None:
        if isinstance(to, int):
            grads[to] = grad if grads[to] is None else grads[to] + grad

    for i in reversed(range(len(program.operations))):
        name, a, b = program.operations[i]
        grad = grads[first + i]
        if grad is None:
            continue
        if name == "charge":
            scaled = grad / c.tau
            give(a, grad - scaled)
            give(b, scaled if c.decay_input else grad)
        elif name == "fire":
            give(a, slope_of(values[a], c.surrogate).mul_(grad))
        elif name == "reset":
            give(a, grad if c.v_reset is None else (1.0 - values[b]).mul_(grad))
        elif name == "add":
            give(a, grad)
            give(b, grad)
        elif name == "sub":
            give(a, grad)
            if isinstance(b, int):
                give(b, -grad)
        elif name == "rsub":
            give(a, -grad)
        elif name == "mul":
            give(a, grad * (values[b] if isinstance(b, int) else b))
            if isinstance(b, int):
                give(b, grad * values[a])
        else:
            give(a, grad / b)
    return grads[:first]


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Parts of (batch, time, numbers): slices of the batch and of the numbers."""
    batch, _, numbers = shape
    size = PART * torch.get_num_threads()
    rows, columns = max(1, size // max(1, numbers)), min(numbers, size)
    for row in range(0, batch, rows):
        for column in range(0, numbers, columns):
            yield slice(row, row + rows), slice(column, column + columns)


def _run(program: Program, x: torch.Tensor, starts: tuple, c: Constants) -> Iterator[list]:
    """The values of every step of a part (batch, time, numbers)."""
    states = [torch.full_like(x[:, 0], start) for start in starts]
    for t in range(x.shape[1]):
        values = _step(program, [x[:, t], *states], c)
        states = [values[i] for i in program.after]
        yield values


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, program: Program, starts: tuple, c: Constants, again: Any) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.given = program, starts, c, again
        flat = x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))
        out = torch.empty_like(flat)
        for rows, columns in _parts(tuple(flat.shape)):
            part, into = flat[rows, :, columns], out[rows, :, columns]
            for t, values in enumerate(_run(program, part, starts, c)):
                into[:, t] = values[program.spikes]
        return out.reshape(x.shape)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        program, starts, c, again = ctx.given
        if torch.is_grad_enabled():  # to be differentiated again: by the step itself
            with torch.enable_grad():
                return torch.autograd.grad(again(x), x, grad_output, create_graph=True)[0], None, None, None, None
        shape = (x.shape[0], x.shape[1], math.prod(x.shape[2:]))
        flat, above = x.reshape(shape), grad_output.reshape(shape)
        grad_x = torch.empty_like(flat)
        for rows, columns in _parts(shape):
            part, upstream, into = flat[rows, :, columns], above[rows, :, columns], grad_x[rows, :, columns]
            ran = list(_run(program, part, starts, c))
            to_states: list = [None] * program.states
            for t in reversed(range(shape[1])):
                values = ran.pop()
                grads: list = [None] * len(values)
                grads[program.spikes] = upstream[:, t]
                for i, grad in zip(program.after, to_states, strict=True):
                    if grad is not None:
                        grads[i] = grad if grads[i] is None else grads[i] + grad
                to_x, *to_states = _back(program, values, grads, c)
                into[:, t] = 0.0 if to_x is None else to_x
        return grad_x.reshape(x.shape), None, None, None, None


def run_program(
    x: torch.Tensor, program: Program, starts: tuple, again: Any, **constants: Any
) -> torch.Tensor | None:
    """Spikes of a neuron program over axis 1; None where it is better run as it is.

    Args:
        x: `(batch, time, ...)`.
        program: its step.
        starts: the number that every state starts from.
        again: the same by the step itself, for second derivatives.
        constants: of `Constants`.
    """
    taken = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() >= FEWEST * x.shape[1]
    if not taken or torch.compiler.is_compiling() or transformed():
        return None
    return _Steps.apply(x, program, starts, Constants(**constants), again)
