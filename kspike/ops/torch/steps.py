"""What a neuron's step is made of under PyTorch: charge, spike and reset, in as few passes over memory as they need.

A step written out in tensors takes a dozen passes. A new tensor in each costs up to four times the arithmetic, and
`torch.where` on spikes ten times (3.8 to 0.3 ns a number on one core). Each operation here is one autograd.Function
that writes over its own tensors alone; every number is that of `reference`, to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from keras import ops

from kspike import surrogate as surrogates
from kspike.ops.torch.calls import transformed
from kspike.ops.torch.transforms import once_differentiable


def fired(h: torch.Tensor, v_threshold: Any) -> torch.Tensor:
    """1 where h >= v_threshold, else 0, and nan where h is nan, which a comparison alone would take for no spike."""
    # none of these takes a comparison into floats
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or transformed():
        return torch.where(h >= v_threshold, 1.0, h.clamp(0.0, 0.0))
    spikes = h.clamp(0.0, 0.0)
    return spikes.add_(torch.ge(h, v_threshold, out=torch.empty_like(h)))


def slope_of(u: torch.Tensor, surrogate: Any) -> torch.Tensor:
    """The surrogate's derivative, in a tensor that may be written over."""
    if type(surrogate) is not surrogates.Sigmoid:
        found = surrogate.derivative(u)
        return found.clone() if found is u or found._base is not None else found
    s = (surrogate.alpha * u).sigmoid_()
    other = 1.0 - s
    return s.mul_(surrogate.alpha).mul_(other)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, surrogate: Any) -> torch.Tensor:
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return fired(u, 0.0)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        (u,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            return grad_output * ctx.surrogate.derivative(u), None
        return slope_of(u, ctx.surrogate).mul_(grad_output), None


class _SpikeInTransforms(torch.autograd.Function):
    """The same for torch.func: with vmap and jvp. torch.compile does not take a Function with jvp."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: torch.Tensor, surrogate: Any) -> torch.Tensor:
        return fired(u, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        u, ctx.surrogate = inputs
        ctx.save_for_backward(u)
        ctx.save_for_forward(u)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        (u,) = ctx.saved_tensors
        return grad_output * ctx.surrogate.derivative(u), None

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, *_: Any) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        return tangent * ctx.surrogate.derivative(u)


def spike(u: Any, surrogate: Any) -> torch.Tensor:
    """1 where u >= 0; in backward the surrogate's derivative."""
    return (_SpikeInTransforms if transformed() else _Spike).apply(ops.convert_to_tensor(u), surrogate)


class _Charge(torch.autograd.Function):
    """`reference.charge` for a tau that is a number."""

    @staticmethod
    def forward(
        ctx: Any, v: torch.Tensor, x: torch.Tensor, tau: float, v_reset: float | None, decay_input: bool
    ) -> torch.Tensor:
        ctx.tau, ctx.decay_input = tau, decay_input
        rest = v - v_reset if v_reset else v
        if decay_input:
            return (x - rest).div_(tau).add_(v)
        h = rest / tau
        return torch.sub(v, h, out=h).add_(x)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        scaled = grad_output / ctx.tau
        to_v = grad_output - scaled if ctx.needs_input_grad[0] else None
        return to_v, scaled if ctx.decay_input else grad_output, None, None, None


class _Reset(torch.autograd.Function):
    """`reference.reset` for spikes that have no gradient."""

    @staticmethod
    def forward(ctx: Any, h: torch.Tensor, s: torch.Tensor, v_threshold: float, v_reset: float | None) -> torch.Tensor:
        if v_reset is None:
            v = s * v_threshold
            return torch.sub(h, v, out=v)
        ctx.save_for_backward(s)
        kept = (1.0 - s).mul_(h)
        return kept.add_(s * v_reset) if v_reset else kept

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        if not ctx.saved_tensors:
            return grad_output, None, None, None
        (s,) = ctx.saved_tensors
        kept = 1.0 - s
        return kept * grad_output if torch.is_grad_enabled() else kept.mul_(grad_output), None, None, None


def _alike(a: Any, b: Any) -> bool:
    tensors = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    return tensors and a.shape == b.shape and a.dtype == b.dtype and a.is_floating_point() and not transformed()


def charge(v: Any, x: Any, tau: Any, v_reset: float | None, decay_input: bool) -> torch.Tensor | None:
    """h[t] from v[t-1] and x[t]; None where tau is a tensor, v and x differ in shape, or under torch.func."""
    if not isinstance(tau, (int, float)) or not _alike(v, x):
        return None
    return _Charge.apply(v, x, float(tau), v_reset, decay_input)


def reset(h: Any, s: Any, v_threshold: Any, v_reset: float | None) -> torch.Tensor | None:
    """v[t] after spikes s without a gradient; None where it is learned what they take off, or as for `charge`."""
    if (v_reset is None and not isinstance(v_threshold, (int, float))) or not _alike(h, s):
        return None
    return _Reset.apply(h, s.detach(), v_threshold, v_reset)


class _Level(torch.autograd.Function):
    """`reference.level`."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, levels: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.levels = levels
        return x.clamp(0.0, levels).round_().div_(levels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        inside = x.clamp(0.0, ctx.levels)
        return torch.eq(x, inside, out=inside).mul_(grad_output).div_(ctx.levels), None


def level(x: torch.Tensor, levels: int) -> torch.Tensor | None:
    """The integer neuron; None under torch.func, and where torch.compile traces it."""
    if torch.compiler.is_compiling() or transformed():
        return None
    return _Level.apply(x, levels)
