"""PyTorch's own forms: the spike, the neuron as one function with a closed-form backward, normalisation, pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from keras import ops, tree

from kspike.ops import cpu_pass, gpu_pass, reference

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
    return cpu_pass.kernels()


def _loops_take(x: Any, dtype: str) -> bool:
    """Whether the compiled loops can take this tensor and write spikes of this dtype."""
    return kernels_for(x) is not None and x.numel() > 0 and dtype in ("float32", "bfloat16")


def _kernels_take(x: Any, dtype: str) -> bool:
    """Whether the kernels of a GPU can take this tensor and write spikes of this dtype."""
    return gpu_pass.takes(x) and x.shape[1] <= gpu_pass.MOST_STEPS and dtype in ("float32", "bfloat16", "float16")


def _float32(a: Any) -> torch.Tensor | None:
    return None if a is None else ops.convert_to_tensor(a).float()


def _array(x: torch.Tensor | None) -> np.ndarray:
    """The same memory as a NumPy array; bfloat16 as uint16; an empty one for None."""
    if x is None:
        return np.empty(0, "float32")
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


class _FusedLIF(torch.autograd.Function):
    """Neurons by compiled loops, of x as it is or normalised (`cpu_pass`): (spikes, mean, variance).

    Keeps x, and numbers by channel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gamma: Any, beta: Any, inverse_tau: Any, moments: tuple, one: cpu_pass.Pass,
        dtype: torch.dtype,
    ) -> tuple:  # fmt: skip
        out = torch.empty(x.shape, dtype=dtype)
        # copies: what an optimizer or a moving average changes in place before the way back is not to be seen there
        given = [_array(a).copy() for a in (gamma, beta, *moments, inverse_tau)]
        given[2:4] = cpu_pass.forward(one, _array(x), *given, _array(out), torch.get_num_threads())
        ctx.save_for_backward(x)
        ctx.one, ctx.given = one, given
        mean, variance = (torch.from_numpy(a) for a in given[2:4])
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @torch.compiler.disable  # it would trace NumPy's part as tensors, where the loss is compiled and this layer is not
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor, *_: Any) -> tuple:
        (x,) = ctx.saved_tensors
        if upstream.dtype not in (torch.float32, torch.bfloat16):
            upstream = upstream.float()
        # a sum over 2,000 rows decides a bias: float32 on the way, unless x itself is bfloat16
        grad = torch.empty(x.shape, dtype=x.dtype)
        arrays = _array(upstream.contiguous()), _array(x)
        found = cpu_pass.backward(ctx.one, *arrays, *ctx.given, _array(grad), torch.get_num_threads())
        wanted = zip(found, ctx.needs_input_grad[1:4], strict=True)
        return grad, *(torch.from_numpy(a) if needed else None for a, needed in wanted), None, None, None


def norm_lif(
    x: torch.Tensor, gamma: Any, beta: Any, moments: Any, epsilon: float, *, inverse_tau: Any, dtype: str,
    time_mask: Any = None, **neuron: Any,
) -> tuple | None:  # fmt: skip
    """Normalisation and neuron in one pass each way: (spikes, mean, variance); None where that cannot be had.

    `moments` is (mean, variance) to normalise by, or None for the batch's own. A time mask is for programs that are
    compiled: here a slice of x does.
    """
    on_gpu = _kernels_take(x, dtype)
    if time_mask is not None or not (on_gpu or _loops_take(x, dtype)):
        return None
    one = cpu_pass.described(**neuron, epsilon=epsilon, normalised=True, batch=moments is None)
    given = [ops.convert_to_tensor(a) for a in (gamma, beta, *(moments or ()))]
    if one is None or any(a.dtype != torch.float32 for a in given):
        return None
    moments = tuple(given[2:]) or (None, None)
    fused = gpu_pass.fused if on_gpu else _FusedLIF.apply
    return fused(x.contiguous(), *given[:2], _float32(inverse_tau), moments, one, getattr(torch, dtype))


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


def lif(x: torch.Tensor, *, inverse_tau: Any, dtype: str, **neuron: Any) -> torch.Tensor | None:
    """The neuron over axis 1 with the closed-form gradient of its equations; spikes in `dtype`.

    None for a learned time constant where neither loops nor kernels can be had.
    """
    on_gpu = _kernels_take(x, dtype)
    one = cpu_pass.described(**neuron) if on_gpu or _loops_take(x, dtype) else None
    if one is not None:
        given = _float32(inverse_tau), (None, None), one, getattr(torch, dtype)
        return (gpu_pass.fused if on_gpu else _FusedLIF.apply)(x.contiguous(), None, None, *given)[0]
    if inverse_tau is not None:
        return None
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    options = tuple(neuron[name] for name in ("v_reset", "decay_input", "detach_reset", "surrogate"))
    return _LIF.apply(x, neuron["tau"], neuron["v_threshold"], options).to(getattr(torch, dtype))


def lif_from(
    x: torch.Tensor, *, v: Any, norm: tuple | None, inverse_tau: Any, dtype: str, **neuron: Any
) -> tuple | None:  # fmt: skip
    """The neuron from the potentials v on, after norm = (gamma, beta, moments, epsilon) or none: (spikes, potentials).

    The new potentials are written over the old. None where gradients are recorded, or the compiled loops cannot be had.
    """
    if torch.is_grad_enabled() or not _loops_take(x, dtype):
        return None
    gamma, beta, moments, epsilon = norm or (None, None, (None, None), 0.0)
    one = cpu_pass.described(**neuron, epsilon=epsilon, normalised=norm is not None)
    if one is None:
        return None
    v = torch.full(x[:, 0].shape, v) if isinstance(v, float) else v.float().contiguous()
    out = torch.empty(x.shape, dtype=getattr(torch, dtype))
    given = (_array(_float32(a)) for a in (gamma, beta, *moments, inverse_tau))
    cpu_pass.forward(one, _array(x.contiguous()), *given, _array(out), torch.get_num_threads(), _array(v), _array(v))
    return out, v


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
    """The product, its bias added as it is written; on a CPU a 1x1 convolution, which PyTorch hands to oneDNN.

    PyTorch's float32 products on a CPU go to MKL, which runs at half the rate on processors that are not its maker's.
    None where none of this is to be had.
    """
    kernel, bias = ops.convert_to_tensor(kernel), None if bias is None else ops.convert_to_tensor(bias)
    if x.is_cuda:
        return torch.nn.functional.linear(x, kernel.t(), bias)
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
    if torch.is_grad_enabled() and gpu_pass.takes(x):
        return gpu_pass.max_pool(x)
    x = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
    return x.permute(0, 2, 3, 1)


class _Attend(torch.autograd.Function):
    """Attention without softmax in float32; keeps the spikes as they came, and k^T v, not their float32 copies."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        mixed = _heads_first(k).transpose(-1, -2) @ _heads_first(v)
        ctx.save_for_backward(q, k, v, mixed)
        return (_heads_first(q) @ mixed).transpose(2, 3).reshape(*q.shape[:3], q.shape[3] * q.shape[4])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        q, k, v, mixed = ctx.saved_tensors
        above = _heads_first(upstream.reshape(q.shape))
        to_mixed = _heads_first(q).transpose(-1, -2) @ above
        to_q = above @ mixed.transpose(-1, -2)
        to_k, to_v = _heads_first(v) @ to_mixed.transpose(-1, -2), _heads_first(k) @ to_mixed
        return tuple(grad.transpose(2, 3).to(q.dtype) for grad in (to_q, to_k, to_v))


def _heads_first(x: torch.Tensor) -> torch.Tensor:
    """(batch, time, tokens, heads, head_dim) -> (batch, time, heads, tokens, head_dim), float32, in one pass."""
    return x.transpose(2, 3).to(torch.float32, memory_format=torch.contiguous_format)


class _AttendOnCPU(torch.autograd.Function):
    """The same by compiled loops, in either order of the products; keeps the spikes alone."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(q, k, v)
        y = torch.empty((*q.shape[:3], q.shape[3] * q.shape[4]), dtype=torch.float32)
        rows = (_rows(a) for a in (q, k, v))
        cpu_pass.attention().attend(*rows, *q.shape[2:], _array(y).reshape(-1), torch.get_num_threads())
        return y

    @staticmethod
    @torch.compiler.disable  # as in _FusedLIF
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        q, k, v = ctx.saved_tensors
        grads = tuple(torch.empty(q.shape, dtype=q.dtype) for _ in range(3))
        rows, above = (_rows(a) for a in (q, k, v)), _array(upstream.float().contiguous()).reshape(-1)
        flat = tuple(_array(grad).reshape(-1) for grad in grads)
        cpu_pass.attention().attend_back(*rows, *q.shape[2:], above, flat, torch.get_num_threads())
        return grads


def _rows(x: torch.Tensor) -> tuple[np.ndarray, int]:
    """(batch, time, tokens, heads, head_dim) as a flat array, and how far apart its rows of channels lie in it."""
    rows = x.detach().reshape(-1, x.shape[3] * x.shape[4])
    rows = rows if rows.stride(1) == 1 else rows.contiguous()
    stride, channels = rows.stride(0), rows.shape[1]
    return _array(rows.as_strided(((len(rows) - 1) * stride + channels,), (1,))), stride


def attend(q: Any, k: Any, v: Any) -> torch.Tensor | None:
    """Attention that keeps no float32 copies; None where it has no form of its own: q k^T first, 64 bits."""
    q, k, v = (ops.convert_to_tensor(a) for a in (q, k, v))
    if kernels_for(q) is not None and q.dtype == k.dtype == v.dtype and q.numel():
        loops = cpu_pass.attention()
        if loops is not None and q.shape[4] % loops.LEAST == 0:
            return _AttendOnCPU.apply(q, k, v)
    found = gpu_pass.attend(q, k, v)
    if found is not None:
        return found
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


def clip_each(gradients: Sequence[torch.Tensor], longest: float) -> list[torch.Tensor]:
    """Gradients no longer than `longest` each, by their L2 norm: a few calls for all of them."""
    norms = torch._foreach_norm(gradients)
    torch._foreach_clamp_min_(norms, longest)
    return torch._foreach_mul(gradients, torch._foreach_mul(torch._foreach_reciprocal(norms), longest))


def accelerated() -> bool:
    """Whether new tensors are put on another device than the CPU."""
    return ops.convert_to_tensor(0.0).device.type not in ("cpu", "meta")


def recorded(fn: Callable, module: torch.nn.Module, example: torch.Tensor) -> Callable | None:
    """fn as CUDA graphs of its way there and back, replayed at each call: no launch of its own for every kernel.

    For one shape, whose tensors keep their place. None where there is no CUDA.
    """
    example = ops.convert_to_tensor(example).detach().clone()
    if not example.is_cuda or torch.compiler.is_compiling():
        return None

    class Whole(torch.nn.Module):  # whose parameters the graphs give gradients of
        def __init__(self) -> None:
            super().__init__()
            self.inside = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return fn(x)

    # it is run a few times before: what it assigns is to be as if it had not been
    before = [(p, p.detach().clone()) for p in module.parameters() if not p.requires_grad]
    try:
        replay = torch.cuda.make_graphed_callables(Whole(), (example,), allow_unused_input=True)
        return lambda x: replay(ops.convert_to_tensor(x))
    finally:
        with torch.no_grad():
            for p, value in before:
                p.copy_(value)


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
