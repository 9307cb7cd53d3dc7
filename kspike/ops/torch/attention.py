"""Attention without softmax under PyTorch, in forms that save the spikes for backward and no float32 copies of them."""

from __future__ import annotations

from typing import Any

import torch
from keras import ops

from kspike.ops.cpu import norm_lif
from kspike.ops.gpu import autograd
from kspike.ops.torch.calls import arrays, kernels_for, transformed
from kspike.ops.torch.transforms import once_differentiable


class _Attend(torch.autograd.Function):
    """Attention without softmax in float32; saves q, k and v in their own dtype, and k^T v, not float32 copies."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        mixed = _heads_first(k).transpose(-1, -2) @ _heads_first(v)
        ctx.save_for_backward(q, k, v, mixed)
        return (_heads_first(q) @ mixed).transpose(2, 3).reshape(*q.shape[:3], q.shape[3] * q.shape[4])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        q, k, v, mixed = ctx.saved_tensors
        grad_rows = _heads_first(grad_output.reshape(q.shape))
        grad_mixed = _heads_first(q).transpose(-1, -2) @ grad_rows
        grad_q = grad_rows @ mixed.transpose(-1, -2)
        grad_k, grad_v = _heads_first(v) @ grad_mixed.transpose(-1, -2), _heads_first(k) @ grad_mixed
        return tuple(grad.transpose(2, 3).to(q.dtype) for grad in (grad_q, grad_k, grad_v))


def _heads_first(x: torch.Tensor) -> torch.Tensor:
    """(batch, time, tokens, heads, head_dim) -> (batch, time, heads, tokens, head_dim), float32, in one pass."""
    return x.transpose(2, 3).to(torch.float32, memory_format=torch.contiguous_format)


class _AttendOnCPU(torch.autograd.Function):
    """The same by compiled loops, in either order of the two products; saves q, k and v alone."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(q, k, v)
        y = torch.empty((*q.shape[:3], q.shape[3] * q.shape[4]), dtype=torch.float32)
        rows, strides = _rows(q, k, v)
        *given, out = arrays(*rows, y.reshape(-1))
        norm_lif.attention().attend(*zip(given, strides, strict=True), *q.shape[2:], out, torch.get_num_threads())
        return y

    @staticmethod
    @torch.compiler.disable  # as in _FusedLIF
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        q, k, v = ctx.saved_tensors
        grads = tuple(torch.empty(q.shape, dtype=q.dtype) for _ in range(3))
        rows, strides = _rows(q, k, v)
        given = arrays(*rows, *(a.reshape(-1) for a in (grad_output.float().contiguous(), *grads)))
        spikes, grad_rows, flat = zip(given[:3], strides, strict=True), given[3], tuple(given[4:])
        norm_lif.attention().attend_backward(*spikes, *q.shape[2:], grad_rows, flat, torch.get_num_threads())
        return grads


def _rows(*spikes: torch.Tensor) -> tuple[list[torch.Tensor], list[int]]:
    """(batch, time, tokens, heads, head_dim), each as a flat tensor, and the strides of their rows of channels."""
    flat, strides = [], []
    for x in spikes:
        rows = x.detach().reshape(-1, x.shape[3] * x.shape[4])
        rows = rows if rows.stride(1) == 1 else rows.contiguous()
        strides.append(rows.stride(0))
        flat.append(rows.as_strided(((len(rows) - 1) * rows.stride(0) + rows.shape[1],), (1,)))
    return flat, strides


def attend(q: Any, k: Any, v: Any) -> torch.Tensor | None:
    """Attention that saves no float32 copies; None (the fallback) where q k^T comes first, and in 64 bits."""
    q, k, v = (ops.convert_to_tensor(a) for a in (q, k, v))
    if kernels_for(q) is not None and q.dtype == k.dtype == v.dtype and q.numel():
        loops = norm_lif.attention()
        if loops is not None and q.shape[4] % loops.HEAD_MULTIPLE == 0:
            return _AttendOnCPU.apply(q, k, v)
    found = autograd.attend(q, k, v)
    if found is not None:
        return found
    if q.shape[2] <= q.shape[4] or q.dtype == torch.float64 or transformed():
        return None
    return _Attend.apply(q, k, v)
