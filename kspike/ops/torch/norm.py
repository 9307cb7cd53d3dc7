"""Normalisation by the batch's own moments under PyTorch, one fused pass forward and one backward."""

from __future__ import annotations

from typing import Any

import torch
from keras import ops

from kspike.ops import reference
from kspike.ops.torch.calls import array, kernels_for, transformed


class _BatchNorm(torch.autograd.Function):
    """Normalisation of (rows, channels) by moments in two passes, with PyTorch's own fused backward.

    x may be bfloat16 beside float32 parameters: PyTorch reads it so, computes in float32 and rounds once.
    torch.native_batch_norm itself adds row after row in float32 on channels-last memory: over 120,000 rows its result
    is off by 5e-5, enough to flip spikes. torch.mean sums in cascades and is off by 6e-7.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, epsilon: float) -> tuple:
        mean, variance = _moments(x)
        y = torch.native_batch_norm(x, gamma, beta, mean, variance, False, 0.0, epsilon)[0]
        ctx.save_for_backward(x, gamma, mean, torch.rsqrt(variance + epsilon))
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor, *_: Any) -> tuple:
        x, gamma, mean, inverse = ctx.saved_tensors
        grads = torch.ops.aten.native_batch_norm_backward(
            grad_output.contiguous(), x, gamma, None, None, mean, inverse, True, ctx.epsilon, [True, True, True]
        )
        return *grads, None


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance by channel: by the compiled loops of the fused pass, a third of the time, or in two."""
    loops = kernels_for(x) if x.dtype in (torch.float32, torch.bfloat16) else None
    if loops is not None:
        found = loops.moments(array(x), torch.get_num_threads())
        return tuple(torch.from_numpy(a.astype("float32")) for a in found)
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = x.mean(0)
    return mean, (x - mean).square_().mean(0)


def batch_norm(x: torch.Tensor, gamma: Any, beta: Any, epsilon: float) -> tuple:
    """One fused pass forward and one backward, around moments in float32."""
    flat = x.reshape(-1, x.shape[-1])
    gamma, beta = ops.convert_to_tensor(gamma), ops.convert_to_tensor(beta)
    kind = torch.promote_types(gamma.dtype, torch.float32)
    gamma, beta = gamma.to(kind), beta.to(kind)
    if transformed():
        return reference.batch_norm(x, gamma, beta, epsilon)
    if flat.shape[0] == 0:
        return x, torch.zeros_like(gamma), torch.ones_like(gamma)
    if flat.device.type != "cpu" or flat.dtype != torch.bfloat16 or kind != torch.float32:
        flat = flat.to(kind)
    y, mean, variance = _BatchNorm.apply(flat.contiguous(), gamma, beta, epsilon)
    return y.to(x.dtype).reshape(x.shape), mean, variance
