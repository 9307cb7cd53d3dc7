"""Products and convolutions of few spikes on a CPU under PyTorch: loops over what is not 0, forwards and back.

And the full ones that take their place, in float32 where the processor has no bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from keras import ops

from kspike.ops import reference
from kspike.ops.torch.calls import arrays, taken
from kspike.ops.torch.transforms import once_differentiable, transformed


def _pays(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Whether loops can take these, and are the quicker way."""
    same = kernel.dtype == x.dtype and (bias is None or bias.dtype == x.dtype)
    given = taken(x, kernel) if same else None
    if given is None:
        return False
    from kspike.ops.cpu import sparse

    return sparse.pays(*given)


def _product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    from kspike.ops.cpu import sparse

    y = x.new_empty(*x.shape[:-1], kernel.shape[-1])
    *given, begin = arrays(x.contiguous(), kernel.contiguous(), y, None if bias is None else bias.float().contiguous())
    sparse.product(*given, torch.get_num_threads(), None if bias is None else begin)
    return y


def _convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    from kspike.ops.cpu import sparse

    y = x.new_empty(*x.shape[:-1], kernel.shape[-1])
    sparse.convolve(*arrays(x.contiguous(), kernel.contiguous(), y), torch.get_num_threads())
    return y


def _kernel_gradient(x: torch.Tensor, above: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    from kspike.ops.cpu import sparse_gradient

    given = arrays(x.contiguous(), above.contiguous())
    found = sparse_gradient.kernel_gradient(*given, tuple(kernel.shape[:-2]), torch.get_num_threads())
    return torch.from_numpy(found).to(kernel.dtype)


class _Product(torch.autograd.Function):
    """x kernel + bias; the way back to x is a full product, as the gradient above is no spike."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, kernel)
        return _product(x, kernel, bias)

    @staticmethod
    @once_differentiable
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
    @once_differentiable
    def backward(ctx: Any, above: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        to_x = to_kernel = None
        if ctx.needs_input_grad[0]:  # the convolution with the kernel turned round
            to_x = full_convolution(above, kernel.flip(0, 1).transpose(2, 3))
        if ctx.needs_input_grad[1]:
            to_kernel = _kernel_gradient(x, above, kernel)
        return to_x, to_kernel


class _Widened(torch.autograd.Function):
    """conv2d of bfloat16 in float32, rounded once, as oneDNN computes it; what is kept for the way back is bfloat16."""

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
    def backward(ctx: Any, above: torch.Tensor) -> tuple:
        x, kernel = ctx.saved_tensors
        grads = torch.ops.aten.convolution_backward(
            above.float(), x.float(), kernel.float(), ctx.biases, [1, 1], ctx.padding, [1, 1], False, [0, 0], 1,
            ctx.needs_input_grad[:3],
        )  # fmt: skip
        return *(None if g is None else g.to(x.dtype) for g in grads), None


#: Whether PyTorch has oneDNN. Asked once: torch.compile cannot trace the question.
MKLDNN = torch.backends.mkldnn.is_available()

#: Without AVX-512, or bfloat16 on ARM, PyTorch's products of bfloat16 go number by number: eighty times as slow as
#: float32's, and less exact. PyTorch itself asks this question to choose.
WIDENS = not (MKLDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _widens(x: torch.Tensor) -> bool:
    return WIDENS and x.dtype == torch.bfloat16 and x.device.type == "cpu"


def _conv2d(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, padding: list[int]) -> torch.Tensor:
    """(images, inputs, height, width) and (outputs, inputs, a, b), of stride 1."""
    if _widens(x):
        # inside a transform PyTorch's own derivatives, of which there are all
        return (_Widened.forward if transformed() else _Widened.apply)(x, kernel, bias, padding)
    return torch.nn.functional.conv2d(x, kernel, bias, padding=padding)


def full_product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x kernel + bias as a 1x1 convolution, which PyTorch hands to oneDNN; its own products go to MKL."""
    inputs, outputs = kernel.shape
    rows = x.reshape(1, 1, -1, inputs).permute(0, 3, 1, 2)  # channels-last: no number moves
    y = _conv2d(rows, kernel.t().reshape(outputs, inputs, 1, 1), bias, [0, 0])
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], outputs)


def full_convolution(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The convolution of stride 1 that keeps height and width, by a kernel of odd size."""
    pads = [size // 2 for size in kernel.shape[:2]]
    return _conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), None, pads).permute(0, 2, 3, 1)


def product(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor | None:
    """The product (..., inputs) (inputs, outputs) + bias of few spikes; None where the full one is the quicker way."""
    return _Product.apply(x, kernel, bias) if _pays(x, kernel, bias) else None


def convolve(x: torch.Tensor, kernel: Any) -> torch.Tensor | None:
    """The convolution of few spikes, or of bfloat16 in float32; None where PyTorch's own is as quick."""
    kernel = ops.convert_to_tensor(kernel)
    whole = all(size % 2 for size in kernel.shape[:2])  # it has a middle
    if whole and _pays(x, kernel, None):
        return _Convolution.apply(x, kernel)
    if transformed():  # Keras asks for a memory layout, which vmap refuses
        y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), padding="same")
        return y.permute(0, 2, 3, 1)
    if not _widens(x) or kernel.dtype != x.dtype:
        return None
    return full_convolution(x, kernel) if whole else reference.convolve(x.float(), kernel.float()).to(x.dtype)


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
        or not MKLDNN
    ):
        return None
    y = product(x, kernel, bias)
    return full_product(x, kernel, bias) if y is None else y
