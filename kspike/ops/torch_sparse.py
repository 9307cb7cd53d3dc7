"""Products and convolutions of few spikes on a CPU under PyTorch: loops over what is not 0, forwards and back."""

from __future__ import annotations

from typing import Any

import torch
from keras import ops

from kspike.ops.torch_arrays import array, kernels_for


def _pays(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Whether loops can take these, and are the quicker way."""
    if kernels_for(x) is None or kernel.dtype != x.dtype or (bias is not None and bias.dtype != x.dtype):
        return False
    from kspike.ops import cpu_sparse

    return cpu_sparse.pays(array(x), array(kernel))


def _product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    from kspike.ops import cpu_sparse

    y = x.new_empty(*x.shape[:-1], kernel.shape[-1])
    begin = None if bias is None else array(bias.float().contiguous())
    given = array(x.contiguous()), array(kernel.contiguous()), array(y)
    cpu_sparse.product(*given, torch.get_num_threads(), begin)
    return y


def _convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    from kspike.ops import cpu_sparse

    y = x.new_empty(*x.shape[:-1], kernel.shape[-1])
    cpu_sparse.convolve(array(x.contiguous()), array(kernel.contiguous()), array(y), torch.get_num_threads())
    return y


def _kernel_gradient(x: torch.Tensor, above: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    from kspike.ops import cpu_sparse_back

    given = array(x.contiguous()), array(above.contiguous()), tuple(kernel.shape[:-2])
    return torch.from_numpy(cpu_sparse_back.kernel_gradient(*given, torch.get_num_threads())).to(kernel.dtype)


class _Product(torch.autograd.Function):
    """x kernel + bias; the way back to x is a full product, as the gradient above is no spike."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, kernel)
        return _product(x, kernel, bias)

    @staticmethod
    def backward(ctx: Any, above: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        to_x = to_kernel = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x = full_product(above, kernel.t(), None)
        if ctx.needs_input_grad[1]:
            to_kernel = _kernel_gradient(x, above, kernel)
        if ctx.needs_input_grad[2]:
            to_bias = above.reshape(-1, above.shape[-1]).sum(0)
        return to_x, to_kernel, to_bias


class _Convolution(torch.autograd.Function):
    """The convolution of stride 1 that keeps height and width; the way back to x is a full one."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, kernel)
        return _convolve(x, kernel)

    @staticmethod
    def backward(ctx: Any, above: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        to_x = to_kernel = None
        if ctx.needs_input_grad[0]:  # the convolution with the kernel turned round
            turned = kernel.flip(0, 1).permute(2, 3, 0, 1)
            pads = [size // 2 for size in kernel.shape[:2]]
            to_x = torch.nn.functional.conv2d(above.permute(0, 3, 1, 2), turned, padding=pads).permute(0, 2, 3, 1)
        if ctx.needs_input_grad[1]:
            to_kernel = _kernel_gradient(x, above, kernel)
        return to_x, to_kernel


def full_product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x kernel + bias as a 1x1 convolution, which PyTorch hands to oneDNN; its own products go to MKL."""
    inputs, outputs = kernel.shape
    rows = x.reshape(1, 1, -1, inputs).permute(0, 3, 1, 2)  # channels-last: no number moves
    y = torch.nn.functional.conv2d(rows, kernel.t().reshape(outputs, inputs, 1, 1), bias)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], outputs)


def product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor | None:
    """The product (..., inputs) (inputs, outputs) + bias of few spikes; None where the full one is the quicker way."""
    return _Product.apply(x, kernel, bias) if _pays(x, kernel, bias) else None


def convolve(x: torch.Tensor, kernel: Any) -> torch.Tensor | None:
    """The convolution of few spikes; None where PyTorch's own is as quick, or the kernel has no middle."""
    kernel = ops.convert_to_tensor(kernel)
    if not all(size % 2 for size in kernel.shape[:2]) or not _pays(x, kernel, None):
        return None
    return _Convolution.apply(x, kernel)
