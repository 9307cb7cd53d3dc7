"""Sparse products and convolutions on a CPU under PyTorch, forward and grad_kernel, by the compiled loops.

And the dense ones where the input is not sparse, in float32 where the processor has no bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from keras import ops

from kspike.ops import reference
from kspike.ops.cpu import threads
from kspike.ops.torch.calls import arrays, taken, transformed
from kspike.ops.torch.transforms import once_differentiable


def _pays(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None = None) -> bool | None:
    """Whether the sparse form is faster than the dense one; None where it does not take these, or is not asked."""
    if x.numel() // max(1, kernel.shape[-2]) * kernel.numel() < threads.MIN_MACS and not threads.ordered:
        return None
    same = kernel.dtype == x.dtype and (bias is None or bias.dtype == x.dtype)
    given = taken(x, kernel) if same else None
    if given is None:
        return None
    from kspike.ops.cpu import sparse

    return sparse.pays(*given)


def _sparse_product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    from kspike.ops.cpu import sparse

    y = x.new_empty(*x.shape[:-1], kernel.shape[-1])
    *given, begin = arrays(x.contiguous(), kernel.contiguous(), y, None if bias is None else bias.float().contiguous())
    sparse.product(*given, torch.get_num_threads(), None if bias is None else begin)
    return y


def _sparse_convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    from kspike.ops.cpu import sparse

    y = x.new_empty(*x.shape[:-1], kernel.shape[-1])
    sparse.convolve(*arrays(x.contiguous(), kernel.contiguous(), y), torch.get_num_threads())
    return y


def _kernel_gradient(x: torch.Tensor, grad_output: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    from kspike.ops.cpu import sparse_gradient

    given = arrays(x.contiguous(), grad_output.contiguous())
    grad_kernel = sparse_gradient.kernel_gradient(*given, tuple(kernel.shape[:-2]), torch.get_num_threads())
    return torch.from_numpy(grad_kernel).to(kernel.dtype)


class _SparseProduct(torch.autograd.Function):
    """x kernel + bias by the sparse product; grad_x is a dense product: grad_output is not sparse."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, kernel)
        return _sparse_product(x, kernel, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        grad_x = grad_kernel = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = dense_product(grad_output, kernel.t(), None)
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(x, grad_output, kernel)
        if ctx.needs_input_grad[2]:
            grad_bias = grad_output.reshape(-1, grad_output.shape[-1]).sum(0)
        return grad_x, grad_kernel, grad_bias


class _SparseConvolution(torch.autograd.Function):
    """The sparse convolution of stride 1 that keeps height and width; grad_x is a dense convolution."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, kernel)
        return _sparse_convolve(x, kernel)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:  # by the flipped kernel
            grad_x = dense_convolution(grad_output, kernel.flip(0, 1).transpose(2, 3))
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(x, grad_output, kernel)
        return grad_x, grad_kernel


class _Float32Convolution(torch.autograd.Function):
    """conv2d of bfloat16 in float32, rounded once, as oneDNN computes it; what is saved for backward is bfloat16."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, padding: list[int]) -> torch.Tensor:
        bias = None if bias is None else bias.float()
        return torch.nn.functional.conv2d(x.float(), kernel.float(), bias, padding=padding).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        x, kernel, bias, ctx.padding = inputs
        ctx.save_for_backward(x, kernel)
        ctx.biases = None if bias is None else bias.shape

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        grads = torch.ops.aten.convolution_backward(
            grad_output.float(), x.float(), kernel.float(), ctx.biases, [1, 1], ctx.padding, [1, 1], False, [0, 0], 1,
            ctx.needs_input_grad[:3],
        )  # fmt: skip
        return *(None if g is None else g.to(x.dtype) for g in grads), None


#: Whether PyTorch has oneDNN. Asked once: torch.compile cannot trace the question.
MKLDNN = torch.backends.mkldnn.is_available()

#: Without AVX-512, or bfloat16 on ARM, PyTorch's products of bfloat16 are scalar: eighty times as slow as float32's,
#: and less exact. PyTorch chooses by the same test.
WIDENS = not (MKLDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _widens(x: torch.Tensor) -> bool:
    return WIDENS and x.dtype == torch.bfloat16 and x.device.type == "cpu"


def _conv2d(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, padding: list[int]) -> torch.Tensor:
    """(images, inputs, height, width) and (outputs, inputs, a, b), of stride 1."""
    if _widens(x):
        # inside a transform PyTorch differentiates it, to any order
        return (_Float32Convolution.forward if transformed() else _Float32Convolution.apply)(x, kernel, bias, padding)
    return torch.nn.functional.conv2d(x, kernel, bias, padding=padding)


def dense_product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x kernel + bias as a 1x1 convolution, which PyTorch hands to oneDNN; its own products go to MKL."""
    inputs, outputs = kernel.shape
    rows = x.reshape(1, 1, -1, inputs).permute(0, 3, 1, 2)  # channels-last: nothing is copied
    y = _conv2d(rows, kernel.t().reshape(outputs, inputs, 1, 1), bias, [0, 0])
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], outputs)


def dense_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The convolution of stride 1 that keeps height and width, by a kernel of odd size."""
    pads = [size // 2 for size in kernel.shape[:2]]
    return _conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), None, pads).permute(0, 2, 3, 1)


def product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor | None:
    """The sparse product (..., inputs) (inputs, outputs) + bias; None where the dense one is faster."""
    return _SparseProduct.apply(x, kernel, bias) if _pays(x, kernel, bias) else None


def convolve(x: torch.Tensor, kernel: Any) -> torch.Tensor | None:
    """The sparse convolution, or that of bfloat16 in float32; None where PyTorch's own is as fast."""
    kernel = ops.convert_to_tensor(kernel)
    odd = all(size % 2 for size in kernel.shape[:2])  # the padding is symmetric
    pays = _pays(x, kernel) if odd else None
    if pays:
        return _SparseConvolution.apply(x, kernel)
    if pays is None and transformed():  # Keras asks for a memory layout, which vmap refuses
        y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), padding="same")
        return y.permute(0, 2, 3, 1)
    if not _widens(x) or kernel.dtype != x.dtype:
        return None
    return dense_convolution(x, kernel) if odd else reference.convolve(x.float(), kernel.float()).to(x.dtype)


def linear(x: torch.Tensor, kernel: Any, bias: Any) -> torch.Tensor | None:
    """The product with its bias fused; on a CPU a sparse product, or a 1x1 convolution, which PyTorch hands to oneDNN.

    PyTorch's float32 products on a CPU go to MKL, which runs at half the rate on processors that are not Intel's.
    None where neither is available.
    """
    kernel, bias = ops.convert_to_tensor(kernel), None if bias is None else ops.convert_to_tensor(bias)
    if x.is_cuda:
        return torch.nn.functional.linear(x, kernel.t(), bias)
    if (
        x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.bfloat16)
        or any(a is not None and a.dtype != x.dtype for a in (kernel, bias))
        or not x.numel()
        or not MKLDNN
    ):
        return None
    y = product(x, kernel, bias)
    return dense_product(x, kernel, bias) if y is None else y
