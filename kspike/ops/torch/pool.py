"""The max-pool under PyTorch: by the compiled loops, Triton's kernels, or PyTorch itself."""

from __future__ import annotations

from typing import Any

import torch

from kspike.ops.gpu import autograd
from kspike.ops.torch.calls import arrays, kernels_for
from kspike.ops.torch.transforms import once_differentiable


class _MaxPool(torch.autograd.Function):
    """The pool by compiled loops; saves one byte an output."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        from kspike.ops.cpu import pool

        n, height, width, channels = x.shape
        size = n, -(-height // 2), -(-width // 2), channels
        out, places = x.new_empty(size), torch.empty(size, dtype=torch.uint8)
        pool.pool(*arrays(x.contiguous(), out, places), torch.get_num_threads())
        ctx.save_for_backward(places)
        ctx.size = x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> torch.Tensor:
        from kspike.ops.cpu import pool

        grad_x = grad_output.new_empty(ctx.size)
        pool.gradient(*arrays(grad_output.contiguous(), *ctx.saved_tensors, grad_x), torch.get_num_threads())
        return grad_x


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """The pool of `kspike.ops.max_pool`. Memory is channels-last throughout: the permutations copy nothing."""
    if torch.is_grad_enabled() and x.requires_grad and x.numel() and kernels_for(x) is not None:
        return _MaxPool.apply(x)
    if torch.is_grad_enabled() and autograd.takes(x):
        return autograd.max_pool(x)
    x = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
    return x.permute(0, 2, 3, 1)
