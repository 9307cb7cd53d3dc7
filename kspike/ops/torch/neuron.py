"""The neuron under PyTorch: compiled loops or GPU kernels, else all time steps with a closed-form gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from keras import ops

from kspike.ops import reference
from kspike.ops.cpu import norm_lif as cpu_norm_lif
from kspike.ops.gpu import autograd
from kspike.ops.torch.calls import arrays, kernels_for, transformed
from kspike.ops.torch.steps import fired
from kspike.ops.torch.transforms import once_differentiable


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
    return fired(h, v_threshold), h


def _backward(
    grad_output: torch.Tensor, potentials: torch.Tensor, tau: Any, v_threshold: Any, options: tuple
) -> torch.Tensor:
    """The gradient of the equations, from the last step to the first, by the potentials alone."""
    v_reset, decay_input, detach_reset, surrogate = options
    slope = surrogate.derivative(potentials - v_threshold)
    grads = []
    grad_v = None  # d loss / d v[t]
    for t in reversed(range(potentials.shape[1])):
        h, slope_t = potentials[:, t], slope[:, t]
        grad_h = grad_output[:, t] * slope_t
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


def _float32(a: Any) -> torch.Tensor | None:
    return None if a is None else ops.convert_to_tensor(a).float()


def _numbers(tau: Any, v_threshold: Any) -> dict[str, float | None]:
    """tau and the threshold as the loops take them, of numbers or tensors of one number."""
    return {"tau": None if tau is None else float(tau), "v_threshold": float(v_threshold)}


def _loops_take(x: Any, dtype: str) -> bool:
    """Whether the compiled loops take this tensor and write spikes of this dtype."""
    return kernels_for(x) is not None and x.numel() > 0 and dtype in ("float32", "bfloat16")


def _kernels_take(x: Any, dtype: str) -> bool:
    """Whether the GPU's kernels take this tensor and write spikes of this dtype."""
    return autograd.takes(x) and x.shape[1] <= autograd.MOST_STEPS and dtype in ("float32", "bfloat16", "float16")


class _FusedLIF(torch.autograd.Function):
    """Neurons by compiled loops, of x or of x normalised (`cpu/norm_lif`): (spikes, mean, variance).

    Saves x, and vectors by channel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gamma: Any, beta: Any, inverse_tau: Any, moments: tuple,
        spec: cpu_norm_lif.NormLIFSpec, dtype: torch.dtype,
    ) -> tuple:  # fmt: skip
        out = torch.empty(x.shape, dtype=dtype)
        x_array, spikes, *given = arrays(x, out, gamma, beta, *moments, inverse_tau)
        # copied: an optimizer or a moving average may change these in place before backward
        given = [a.copy() for a in given]
        given[2:4] = cpu_norm_lif.forward(spec, x_array, *given, spikes, torch.get_num_threads())
        ctx.save_for_backward(x)
        ctx.spec, ctx.given = spec, given
        mean, variance = (torch.from_numpy(a) for a in given[2:4])
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @torch.compiler.disable  # a compiled loss would trace the NumPy code as tensors
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor, *_: Any) -> tuple:
        (x,) = ctx.saved_tensors
        if grad_output.dtype not in (torch.float32, torch.bfloat16):
            grad_output = grad_output.float()
        # float32 unless x itself is bfloat16: a bias' gradient is a sum of it over thousands of rows
        grad = torch.empty(x.shape, dtype=x.dtype)
        above, x_array, grad_x = arrays(grad_output.contiguous(), x, grad)
        found = cpu_norm_lif.backward(ctx.spec, above, x_array, *ctx.given, grad_x, torch.get_num_threads())
        wanted = zip(found, ctx.needs_input_grad[1:4], strict=True)
        return grad, *(torch.from_numpy(a) if needed else None for a, needed in wanted), None, None, None


def norm_lif(
    x: torch.Tensor, gamma: Any, beta: Any, moments: Any, epsilon: float, *, tau: Any, inverse_tau: Any,
    v_threshold: Any, dtype: str, time_mask: Any = None, **neuron: Any,
) -> tuple | None:  # fmt: skip
    """Normalisation and neuron in one pass forward and one backward: (spikes, mean, variance); None: run the fallback.

    `moments` is (mean, variance) to normalise by, or None for the batch's own. A time mask is for compiled programs:
    eager code slices x.
    """
    on_cpu = _loops_take(x, dtype)
    if time_mask is not None or not (on_cpu or _kernels_take(x, dtype)):
        return None
    numbers = _numbers(tau, v_threshold)
    spec = cpu_norm_lif.make_spec(**numbers, **neuron, epsilon=epsilon, normalised=True, batch=moments is None)
    given = [ops.convert_to_tensor(a) for a in (gamma, beta, *(moments or ()))]
    if spec is None or any(a.dtype != torch.float32 for a in given):
        return None
    moments = tuple(given[2:]) or (None, None)
    fused = _FusedLIF.apply if on_cpu else autograd.fused
    return fused(x.contiguous(), *given[:2], _float32(inverse_tau), moments, spec, getattr(torch, dtype))


class _LIF(torch.autograd.Function):
    """All time steps at once. Saves the potentials h alone, from which backward follows."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, tau: Any, v_threshold: Any, options: tuple) -> torch.Tensor:
        shape = x.shape
        flat = x.reshape(shape[0], shape[1], math.prod(shape[2:]))
        tau, v_threshold = (torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in (tau, v_threshold))
        spikes, potentials = _forward(flat, tau, v_threshold, *options[:2])
        ctx.save_for_backward(potentials, tau, v_threshold)
        ctx.options = options
        return spikes.reshape(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        potentials, tau, v_threshold = ctx.saved_tensors
        grad = _backward(grad_output.reshape(potentials.shape), potentials, tau, v_threshold, ctx.options)
        return grad.reshape(grad_output.shape), None, None, None


def lif(
    x: torch.Tensor, *, tau: Any, inverse_tau: Any, v_threshold: Any, dtype: str, **neuron: Any
) -> torch.Tensor | None:  # fmt: skip
    """The neuron over axis 1 with the closed-form gradient of its equations; spikes in `dtype`.

    None (the reference is the fallback) for a learned time constant where neither loops nor kernels take x, and inside
    torch.func's transforms.
    """
    on_cpu = _loops_take(x, dtype)
    spec = None
    if on_cpu or _kernels_take(x, dtype):
        spec = cpu_norm_lif.make_spec(**_numbers(tau, v_threshold), **neuron)
    if spec is not None:
        given = _float32(inverse_tau), (None, None), spec, getattr(torch, dtype)
        return (_FusedLIF.apply if on_cpu else autograd.fused)(x.contiguous(), None, None, *given)[0]
    if inverse_tau is not None or transformed():
        return None
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    options = tuple(neuron[name] for name in ("v_reset", "decay_input", "detach_reset", "surrogate"))
    return _LIF.apply(x, tau, v_threshold, options).to(getattr(torch, dtype))


def lif_from(
    x: torch.Tensor, *, v: Any, norm: tuple | None, tau: Any, inverse_tau: Any, v_threshold: Any, dtype: str,
    **neuron: Any,
) -> tuple | None:  # fmt: skip
    """The neuron from initial potentials v, after norm = (gamma, beta, moments, epsilon) or none: (spikes, potentials).

    The new potentials are written over the old. None where gradients are recorded, or the compiled loops do not take x.
    """
    if torch.is_grad_enabled() or not _loops_take(x, dtype):
        return None
    gamma, beta, moments, epsilon = norm or (None, None, (None, None), 0.0)
    numbers = _numbers(tau, v_threshold)
    spec = cpu_norm_lif.make_spec(**numbers, **neuron, epsilon=epsilon, normalised=norm is not None)
    if spec is None:
        return None
    v = torch.full(x[:, 0].shape, v) if isinstance(v, float) else v.float().contiguous()
    out = torch.empty(x.shape, dtype=getattr(torch, dtype))
    constants = (_float32(a) for a in (gamma, beta, *moments, inverse_tau))
    x_array, spikes, potentials, *given = arrays(x.contiguous(), out, v, *constants)
    cpu_norm_lif.forward(spec, x_array, *given, spikes, torch.get_num_threads(), potentials, potentials)
    return out, v
