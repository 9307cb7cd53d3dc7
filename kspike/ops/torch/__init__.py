"""PyTorch's own forms: neurons and attention from files of their own, normalisation, products, pools, and running."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from keras import ops, tree

from kspike.ops import reference
from kspike.ops.gpu import autograd
from kspike.ops.torch import products
from kspike.ops.torch.arrays import array, kernels_for
from kspike.ops.torch.attention import attend
from kspike.ops.torch.neuron import divide, lif, lif_from, norm_lif, spike
from kspike.ops.torch.products import convolve
from kspike.ops.torch.transforms import once_differentiable, substituted, transformed
from kspike.ops.torch.watching import place, watched

__all__ = [
    "accelerated", "attend", "batch_norm", "by_parts", "clip_each", "convolve", "divide", "gradients", "jit", "lif",
    "lif_from", "linear", "max_pool", "norm_lif", "place", "recorded", "spike", "substituted", "watched",
]  # fmt: skip

COMPILES = False


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
    if transformed():
        return reference.batch_norm(x, gamma, beta, epsilon)
    if flat.shape[0] == 0:
        return x, torch.zeros_like(gamma), torch.ones_like(gamma)
    y, mean, variance = _BatchNorm.apply(flat.to(gamma.dtype), gamma, beta, epsilon)
    return y.to(x.dtype).reshape(x.shape), mean, variance


def linear(x: torch.Tensor, kernel: Any, bias: Any) -> torch.Tensor | None:
    """The product, its bias added as it is written; on a CPU a 1x1 convolution, which PyTorch hands to oneDNN.

    PyTorch's float32 products on a CPU go to MKL, which runs at half the rate on processors that are not its maker's.
    Rows of few spikes go through loops that add up their weights alone.
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
        or not products.MKLDNN
    ):
        return None
    y = products.product(x, kernel, bias)
    return products.full_product(x, kernel, bias) if y is None else y


class _MaxPool(torch.autograd.Function):
    """The pool by compiled loops; keeps a byte an output."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        from kspike.ops.cpu import pool

        n, height, width, channels = x.shape
        size = n, -(-height // 2), -(-width // 2), channels
        out, places = x.new_empty(size), torch.empty(size, dtype=torch.uint8)
        pool.pool(array(x.contiguous()), array(out), places.numpy(), torch.get_num_threads())
        ctx.save_for_backward(places)
        ctx.size = x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
        from kspike.ops.cpu import pool

        grad = upstream.new_empty(ctx.size)
        places = ctx.saved_tensors[0].numpy()
        pool.gradient(array(upstream.contiguous()), places, array(grad), torch.get_num_threads())
        return grad


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Channels-last in memory throughout: the permutations move no data."""
    if torch.is_grad_enabled() and x.requires_grad and x.numel() and kernels_for(x) is not None:
        return _MaxPool.apply(x)
    if torch.is_grad_enabled() and autograd.takes(x):
        return autograd.max_pool(x)
    x = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
    return x.permute(0, 2, 3, 1)


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
