"""PyTorch's own forms: the spike, the neuron as one function with a closed-form backward, normalisation, pooling."""

from __future__ import annotations

import functools
import math
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
def _kernels() -> Any:
    """The compiled loops for a CPU, or None where numba is missing or does not work: slower, never wrong."""
    try:
        from kspike.ops import cpu_kernels

        probe = np.zeros((1, 1, 1, 1), "float32")
        cpu_kernels.fire(probe, probe[0, 0, 0], probe[0, 0, 0], _neuron(2.0, 1.0, 0.0, True), probe.copy(), 1)
        return cpu_kernels
    except Exception as error:
        warnings.warn(
            f"kspike: neurons run step by step, several times slower, for numba does not work here ({error!s:.200}). "
            "pip install numba, or set KSPIKE_REFERENCE_OPS=1 to do without and without this warning.",
            stacklevel=2,
        )
        return None


def kernels_for(x: Any) -> Any:
    """The compiled loops where they can take this tensor: dense, on the CPU, float32 or bfloat16, not being traced."""
    if (
        not isinstance(x, torch.Tensor)
        or x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.bfloat16)
        or x.is_sparse
        or torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
    ):
        return None
    return _kernels()


def _array(x: torch.Tensor) -> np.ndarray:
    """The same memory as a NumPy array; bfloat16 as uint16."""
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _neuron(tau: Any, v_threshold: Any, v_reset: float | None, decay_input: bool, learned: Any = None) -> tuple:
    """A neuron's parameters as the compiled loops take them; `learned` is 1 / tau by channel, in place of tau."""
    learned = np.empty(0, "float32") if learned is None else _array(learned).copy()
    fixed = np.float32(v_threshold), np.float32(v_reset or 0.0), v_reset is None, bool(decay_input)
    return np.float32(1.0 if tau is None else tau), learned, *fixed


def _affine(gamma: Any, beta: Any, moments: Any, epsilon: float, channels: int) -> tuple:
    """(scale, shift, mean, 1 / deviation) of a normalisation, for the compiled loops; of none without moments."""
    if moments is None:
        mean, inverse = np.zeros(channels, "float32"), np.ones(channels, "float32")
        return inverse, mean, mean, inverse
    mean, variance = (_array(m).copy() for m in moments)
    inverse = (1.0 / np.sqrt(variance.astype("float64") + epsilon)).astype("float32")
    scale = _array(gamma) * inverse
    return scale, _array(beta) - mean * scale, mean, inverse


def _rows(x: torch.Tensor, channels: int | None = None) -> torch.Tensor:
    """(batch, time, ..., channels) -> (batch, time, places, channels), contiguous.

    Without `channels`, rows are what is quick: a neuron alone does not care which channel it is.
    """
    each = math.prod(x.shape[2:])
    if channels is None:
        channels = x.shape[-1] if x.ndim > 2 and x.shape[-1] >= 32 else each
    return x.contiguous().reshape(*x.shape[:2], each // channels if channels else 0, channels)


class _FusedLIF(torch.autograd.Function):
    """Neurons by compiled loops, after x * scale + shift by channel, or after the batch's own normalisation.

    Keeps x alone. `moments` is None for x as it is, else (mean, variance), whose gradient is taken where `batch` says
    that they are x's own.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gamma: Any, beta: Any, inverse_tau: Any, moments: Any, batch: bool, epsilon: float,
        neuron: tuple, slope: tuple, dtype: torch.dtype,
    ) -> torch.Tensor:  # fmt: skip
        affine = _affine(gamma, beta, moments, epsilon, x.shape[-1])
        out = torch.empty(x.shape, dtype=dtype)
        _kernels().fire(_array(x), *affine[:2], neuron, _array(out), torch.get_num_threads())
        ctx.save_for_backward(x)
        ctx.affine, ctx.neuron, ctx.slope = affine, neuron, slope
        ctx.batch, ctx.normalised, ctx.learned = batch, moments is not None, inverse_tau is not None
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        kernels, threads = _kernels(), torch.get_num_threads()
        (x,) = ctx.saved_tensors
        scale, _, mean, inverse = ctx.affine
        if upstream.dtype not in (torch.float32, torch.bfloat16):
            upstream = upstream.float()
        # a sum over 2,000 rows decides a bias: float32 on the way, unless x itself is bfloat16
        grad = torch.empty(x.shape, dtype=x.dtype)
        array, rows = _array(x), (-1, x.shape[-1])
        upstream = _array(upstream.contiguous())
        sums = kernels.fire_back(
            upstream, array, ctx.affine, ctx.neuron, ctx.slope, _array(grad), ctx.normalised, threads
        )
        to_beta, to_gamma, to_tau = (torch.from_numpy(s.astype("float32")) for s in sums)
        to_tau = to_tau if ctx.learned else None
        if not ctx.normalised:
            return grad, None, None, to_tau, *[None] * 6
        if ctx.batch:
            count = max(1, x.numel() // x.shape[-1])
            kernels.norm_back(
                _array(grad).reshape(rows), array.reshape(rows), scale, mean, inverse, sums[:2] / count, threads
            )
        else:
            grad *= torch.from_numpy(scale).to(grad.dtype)
        return grad, to_gamma, to_beta, to_tau, *[None] * 6


def _slope(surrogate: Any, detach_reset: bool) -> tuple | None:
    """A surrogate as the compiled loops take it; None where they do not know it."""
    known = _kernels().SURROGATES
    if surrogate.name not in known or type(surrogate) is not surrogates._KNOWN[surrogate.name]:
        return None
    return bool(detach_reset), known.index(surrogate.name), np.float32(surrogate.alpha)


def _by_channel(inverse_tau: Any, channels: int) -> torch.Tensor | None:
    """1 / tau, one number or one a channel, as float32 one a channel."""
    return None if inverse_tau is None else ops.convert_to_tensor(inverse_tau).float().reshape(-1).expand(channels)


def norm_lif(
    x: torch.Tensor,
    gamma: Any,
    beta: Any,
    moments: Any,
    epsilon: float,
    *,
    tau: Any,
    inverse_tau: Any,
    v_threshold: Any,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
    dtype: str,
) -> tuple | None:
    """Normalisation and neuron in one pass each way: (spikes, mean, variance); None where that cannot be had.

    `moments` is (mean, variance) to normalise by, or None for the batch's own.
    """
    kernels = kernels_for(x)
    if kernels is None or not x.numel():
        return None
    slope = _slope(surrogate, detach_reset)
    if slope is None or dtype not in ("float32", "bfloat16"):
        return None
    rows = _rows(x, x.shape[-1])
    gamma, beta = (ops.convert_to_tensor(a) for a in (gamma, beta))
    batch = moments is None
    if batch:
        found = kernels.moments(_array(rows).reshape(-1, x.shape[-1]), torch.get_num_threads())
        moments = tuple(torch.from_numpy(m.astype("float32")) for m in found)
    else:
        moments = tuple(ops.convert_to_tensor(m).detach() for m in moments)
    learned = _by_channel(inverse_tau, x.shape[-1])
    if any(a.dtype != torch.float32 for a in (gamma, beta, *moments)):
        return None
    neuron = _neuron(tau, v_threshold, v_reset, decay_input, learned)
    spikes = _FusedLIF.apply(rows, gamma, beta, learned, moments, batch, epsilon, neuron, slope, getattr(torch, dtype))
    return spikes.reshape(x.shape), *moments


class _LIF(torch.autograd.Function):
    """All time steps at once. Keeps the potentials h alone; everything else follows from them."""

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
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        potentials, tau, v_threshold = ctx.saved_tensors
        grad = _backward(upstream.reshape(potentials.shape), potentials, tau, v_threshold, ctx.options)
        return grad.reshape(upstream.shape), None, None, None


def lif(
    x: torch.Tensor,
    *,
    tau: Any,
    inverse_tau: Any,
    v_threshold: Any,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
    dtype: str,
) -> torch.Tensor | None:
    """The neuron over axis 1 with the closed-form gradient of its equations; spikes in `dtype`.

    None for a learned time constant where the compiled loops cannot be had.
    """
    kernels = kernels_for(x)
    slope = _slope(surrogate, detach_reset) if kernels is not None else None
    if slope is not None and dtype in ("float32", "bfloat16"):
        one = inverse_tau is None or math.prod(inverse_tau.shape) == 1
        rows = _rows(x, None if one else x.shape[-1])
        learned = _by_channel(inverse_tau, rows.shape[-1])
        neuron = _neuron(tau, v_threshold, v_reset, decay_input, learned)
        spikes = _FusedLIF.apply(rows, None, None, learned, None, False, 0.0, neuron, slope, getattr(torch, dtype))
        return spikes.reshape(x.shape)
    if inverse_tau is not None:
        return None
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    return _LIF.apply(x, tau, v_threshold, (v_reset, decay_input, detach_reset, surrogate)).to(getattr(torch, dtype))


def lif_from(
    x: torch.Tensor,
    *,
    v: Any,
    norm: tuple | None,
    tau: Any,
    inverse_tau: Any,
    v_threshold: Any,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
    dtype: str,
) -> tuple | None:
    """The neuron from the potentials v on, after norm = (gamma, beta, moments, epsilon) or none: (spikes, potentials).

    The new potentials are written over the old. None where gradients are recorded, or the compiled loops cannot be had.
    """
    kernels = kernels_for(x)
    if kernels is None or torch.is_grad_enabled() or not x.numel() or dtype not in ("float32", "bfloat16"):
        return None
    rows = _rows(x, x.shape[-1] if x.ndim > 2 else None)
    places = rows[:, 0].shape
    v = torch.full(places, v) if isinstance(v, float) else v.float().contiguous().reshape(places)
    out = torch.empty(rows.shape, dtype=getattr(torch, dtype))
    given = (None, None, None, 0.0)
    if norm is not None:
        gamma, beta, moments, epsilon = norm
        gamma, beta, *moments = (ops.convert_to_tensor(a).detach().float() for a in (gamma, beta, *moments))
        given = gamma, beta, moments, epsilon
    learned = _by_channel(inverse_tau, rows.shape[-1])
    neuron = _neuron(tau, v_threshold, v_reset, decay_input, learned)
    kernels.fire(
        _array(rows), *_affine(*given, rows.shape[-1])[:2], neuron, _array(out), torch.get_num_threads(),
        _array(v), _array(v),
    )  # fmt: skip
    return out.reshape(x.shape), v.reshape(x[:, 0].shape)


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


def linear(x: torch.Tensor, kernel: Any, bias: Any) -> torch.Tensor | None:
    """The product as a 1x1 convolution, which PyTorch hands to oneDNN; None where that is not to be had.

    PyTorch's float32 products on a CPU go to MKL, which runs at half the rate on processors that are not its maker's;
    and here the bias is added as the product is written, not in a pass of its own.
    """
    kernel, bias = ops.convert_to_tensor(kernel), None if bias is None else ops.convert_to_tensor(bias)
    if (
        x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.bfloat16)
        or any(a is not None and a.dtype != x.dtype for a in (kernel, bias))
        or not x.numel()
        or not torch.backends.mkldnn.is_available()
    ):
        return None
    inputs, outputs = kernel.shape
    rows = x.reshape(1, 1, -1, inputs).permute(0, 3, 1, 2)  # channels-last: no number moves
    y = torch.nn.functional.conv2d(rows, kernel.t().reshape(outputs, inputs, 1, 1), bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], outputs)


class _MaxPool(torch.autograd.Function):
    """The pool by compiled loops; keeps a byte an output."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        from kspike.ops import cpu_pool

        n, height, width, channels = x.shape
        size = n, -(-height // 2), -(-width // 2), channels
        out, places = x.new_empty(size), torch.empty(size, dtype=torch.uint8)
        cpu_pool.pool(_array(x.contiguous()), _array(out), places.numpy(), torch.get_num_threads())
        ctx.save_for_backward(places)
        ctx.size = x.shape
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
        from kspike.ops import cpu_pool

        grad = upstream.new_empty(ctx.size)
        places = ctx.saved_tensors[0].numpy()
        cpu_pool.gradient(_array(upstream.contiguous()), places, _array(grad), torch.get_num_threads())
        return grad


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Channels-last in memory throughout: the permutations move no data."""
    if torch.is_grad_enabled() and x.requires_grad and x.numel() and kernels_for(x) is not None:
        return _MaxPool.apply(x)
    x = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
    return x.permute(0, 2, 3, 1)


class _Attend(torch.autograd.Function):
    """Attention without softmax in float32; keeps the spikes as they came, and k^T v, not their float32 copies.

    Those copies, heads first, are made for some images at a time, and stay in the cache until they are used up.
    """

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        y = torch.empty(q.shape, dtype=torch.float32, device=q.device)
        mixed = y.new_empty((*q.shape[:2], q.shape[3], q.shape[4], q.shape[4]))
        for some in _few(q):
            mixed[some] = _heads_first(k[some]).transpose(-1, -2) @ _heads_first(v[some])
            y[some] = (_heads_first(q[some]) @ mixed[some]).transpose(2, 3)
        ctx.save_for_backward(q, k, v, mixed)
        return y.reshape(*q.shape[:3], q.shape[3] * q.shape[4])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        q, k, v, mixed = ctx.saved_tensors
        upstream = upstream.reshape(q.shape)
        grads = tuple(torch.empty(q.shape, dtype=q.dtype, device=q.device) for _ in range(3))
        for some in _few(q):
            above = _heads_first(upstream[some])
            to_mixed = _heads_first(q[some]).transpose(-1, -2) @ above
            to_q = above @ mixed[some].transpose(-1, -2)
            to_k, to_v = _heads_first(v[some]) @ to_mixed.transpose(-1, -2), _heads_first(k[some]) @ to_mixed
            for grad, found in zip(grads, (to_q, to_k, to_v), strict=True):
                grad[some] = found.transpose(2, 3)
        return grads


#: Bytes of the float32 copy of q that attention makes at a time on a CPU.
ATTENTION = 2 * 2**20


def _few(q: torch.Tensor) -> list[slice]:
    """The batch in parts; whole where it is not on a CPU."""
    images = len(q)
    each = max(1, ATTENTION * images // max(1, 4 * q.numel())) if q.device.type == "cpu" else max(1, images)
    return [slice(first, first + each) for first in range(0, images, each)]


def _heads_first(x: torch.Tensor) -> torch.Tensor:
    """(batch, time, tokens, heads, head_dim) -> (batch, time, heads, tokens, head_dim), float32, in one pass."""
    return x.transpose(2, 3).to(torch.float32, memory_format=torch.contiguous_format)


def attend(q: Any, k: Any, v: Any) -> torch.Tensor | None:
    """Attention that keeps a third of the memory; None where q k^T comes first, or numbers are of 64 bits."""
    q, k, v = (ops.convert_to_tensor(a) for a in (q, k, v))
    if q.shape[2] <= q.shape[4] or q.dtype == torch.float64 or torch._C._functorch.peek_interpreter_stack() is not None:
        return None
    return _Attend.apply(q, k, v)


#: Bytes of the largest tensor of a part of a batch. The C library keeps blocks of up to 32 MB for the next layer; it
#: maps larger ones anew each time, and their first touch costs as much as a layer. A part also stays in the cache.
PART = 24 * 2**20


def by_parts(fn: Callable, x: Any, numbers: int, dtype: str) -> torch.Tensor | None:
    """fn part by part of the batch, without gradients on a CPU; None where one part does, or gradients are recorded."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    x = ops.convert_to_tensor(x)
    if x.device.type != "cpu":
        return None
    parts = min(x.shape[0], math.ceil(x.shape[0] * numbers * getattr(torch, dtype).itemsize / PART))
    return torch.cat([fn(part) for part in x.tensor_split(parts)]) if parts > 1 else None


def jit(fn: Callable, variables: Sequence[Any]) -> Callable:
    """Eager, without gradients. Tensors come in on Keras' device and leave detached."""

    def run(*args: Any) -> Any:
        with torch.no_grad():
            args = tree.map_structure(lambda a: ops.convert_to_tensor(np.asarray(a)) if _is_array(a) else a, args)
            return fn(*args)

    return run


def gradients(fn: Callable, of: Sequence[Any], variables: Sequence[Any]) -> Callable:
    """torch.autograd.grad, eager; nothing is added to the parameters' own `.grad`."""

    def run(*args: Any) -> tuple:
        args = tree.map_structure(lambda a: ops.convert_to_tensor(np.asarray(a)) if _is_array(a) else a, args)
        values = [v.value for v in of]
        with torch.enable_grad():
            total, aux = fn(*args)
            found = torch.autograd.grad(total, values, allow_unused=True)
        zeros = [torch.zeros_like(v) if g is None else g for v, g in zip(values, found, strict=True)]
        return tree.map_structure(lambda a: a.detach(), aux), zeros

    return run


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, int, float))
