"""PyTorch's own forms: the spike, the neuron as one function with a closed-form backward, normalisation, pooling."""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from keras import ops, tree

from kspike import surrogate as surrogates
from kspike.ops import reference

COMPILES = False


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, surrogate: Any) -> torch.Tensor:
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        (u,) = ctx.saved_tensors
        return upstream * ctx.surrogate.derivative(u), None


def spike(u: Any, surrogate: Any) -> torch.Tensor:
    """1 where u >= 0; backwards the surrogate's derivative."""
    return _Spike.apply(ops.convert_to_tensor(u), surrogate)


def divide(y: torch.Tensor, tau: Any) -> torch.Tensor:
    """y / tau, correctly rounded."""
    return y / tau


def _forward(x: torch.Tensor, tau: Any, v_threshold: Any, v_reset: float | None, decay_input: bool) -> tuple:
    """Spikes and potentials of every step."""
    v = torch.full_like(x[:, 0], v_reset or 0.0)
    potentials = []
    for t in range(x.shape[1]):
        h = reference.charge(v, x[:, t], lambda y: y / tau, v_reset, decay_input)
        potentials.append(h)
        v = h - (h >= v_threshold) * v_threshold if v_reset is None else torch.where(h >= v_threshold, v_reset, h)
    h = torch.stack(potentials, 1)
    return (h >= v_threshold).to(x.dtype), h


def _backward(
    upstream: torch.Tensor, potentials: torch.Tensor, tau: Any, v_threshold: Any, options: tuple
) -> torch.Tensor:
    """The gradient of the equations, from the last step to the first; the potentials are all it needs."""
    v_reset, decay_input, detach_reset, surrogate = options
    slope = surrogate.derivative(potentials - v_threshold)
    grads = []
    grad_v = None  # d loss / d v[t]
    for t in reversed(range(potentials.shape[1])):
        h, slope_t = potentials[:, t], slope[:, t]
        grad_h = upstream[:, t] * slope_t
        if grad_v is not None:
            if v_reset is None:
                through = grad_v if detach_reset else grad_v * (1.0 - v_threshold * slope_t)
            else:
                kept = torch.where(h >= v_threshold, 0.0, grad_v)
                through = kept if detach_reset else kept + grad_v * (v_reset - h) * slope_t
            grad_h = grad_h + through
        grad_v = grad_h - grad_h / tau
        grads.append(grad_h / tau if decay_input else grad_h)
    return torch.stack(grads[::-1], 1)


@functools.cache
def _compiled() -> tuple[Callable, Callable]:
    """The two passes fused by torch.compile, one kernel each a T; the eager ones where that is off or fails."""
    if os.environ.get("KSPIKE_COMPILE", "0") in ("", "0"):
        return _forward, _backward
    try:
        compiled = torch.compile(_forward, dynamic=True), torch.compile(_backward, dynamic=True)
        probe = torch.zeros(2, 2, 8)
        compiled[1](*compiled[0](probe, torch.tensor(2.0), torch.tensor(1.0), 0.0, True), torch.tensor(2.0),
                    torch.tensor(1.0), (0.0, True, True, surrogates.get("sigmoid")))
        return compiled
    except Exception as error:  # no compiler, or one that fails: slower, never wrong
        warnings.warn(f"kspike: torch.compile does not work here, neurons run eagerly ({error!s:.200}).", stacklevel=2)
        return _forward, _backward


def _alone(x: torch.Tensor) -> torch.Tensor:
    """The same contiguous memory as a tensor that is no view: torch.compile would make a kernel anew for each base."""
    x = x.contiguous()
    return torch.empty(0, dtype=x.dtype, device=x.device).set_(
        x.untyped_storage(), x.storage_offset(), x.shape, x.stride()
    )


class _LIF(torch.autograd.Function):
    """All time steps at once. Keeps the potentials h alone; everything else follows from them."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, tau: Any, v_threshold: Any, options: tuple) -> torch.Tensor:
        shape = x.shape
        flat = _alone(x.reshape(shape[0], shape[1], math.prod(shape[2:])))
        tau, v_threshold = (torch.as_tensor(a, dtype=x.dtype) for a in (tau, v_threshold))
        spikes, potentials = _compiled()[0](flat, tau, v_threshold, *options[:2])
        ctx.save_for_backward(potentials, tau, v_threshold)
        ctx.options = options
        return spikes.reshape(shape)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        potentials, tau, v_threshold = ctx.saved_tensors
        upstream_flat = _alone(upstream.reshape(potentials.shape))
        grad = _compiled()[1](upstream_flat, potentials, tau, v_threshold, ctx.options)
        return grad.reshape(upstream.shape), None, None, None


def lif(
    x: torch.Tensor,
    *,
    tau: Any,
    v_threshold: Any,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
) -> torch.Tensor:
    """The neuron over axis 1 with the closed-form gradient of its equations."""
    return _LIF.apply(x, tau, v_threshold, (v_reset, decay_input, detach_reset, surrogate))


class _BatchNorm(torch.autograd.Function):
    """Normalisation of (rows, channels) by moments in two passes, with PyTorch's own fused backward.

    torch.native_batch_norm itself adds row after row in float32 on channels-last memory: over 120,000 rows its result
    is off by 5e-5, enough to flip spikes. torch.mean sums in cascades and is off by 6e-7.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, epsilon: float) -> tuple:
        mean = x.mean(0)
        variance = (x - mean).square_().mean(0)
        y = torch.native_batch_norm(x, gamma, beta, mean, variance, False, 0.0, epsilon)[0]
        ctx.save_for_backward(x, gamma, mean, torch.rsqrt(variance + epsilon))
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor, *_: Any) -> tuple:
        x, gamma, mean, inverse = ctx.saved_tensors
        grads = torch.ops.aten.native_batch_norm_backward(
            upstream.contiguous(), x, gamma, None, None, mean, inverse, True, ctx.epsilon, [True, True, True]
        )
        return *grads, None


def batch_norm(x: torch.Tensor, gamma: Any, beta: Any, epsilon: float) -> tuple:
    """One fused pass each way around moments in float32."""
    flat = x.reshape(-1, x.shape[-1])
    gamma, beta = ops.convert_to_tensor(gamma), ops.convert_to_tensor(beta)
    if flat.shape[0] == 0:
        return x, torch.zeros_like(gamma), torch.ones_like(gamma)
    y, mean, variance = _BatchNorm.apply(flat.to(gamma.dtype), gamma, beta, epsilon)
    return y.to(x.dtype).reshape(x.shape), mean, variance


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Channels-last in memory throughout: the permutations move no data."""
    x = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
    return x.permute(0, 2, 3, 1)


def jit(fn: Callable, variables: Sequence[Any]) -> Callable:
    """Eager, without gradients. Tensors come in on Keras' device and leave detached."""

    def run(*args: Any) -> Any:
        with torch.no_grad():
            args = tree.map_structure(lambda a: ops.convert_to_tensor(np.asarray(a)) if _is_array(a) else a, args)
            return fn(*args)

    return run


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, int, float))
