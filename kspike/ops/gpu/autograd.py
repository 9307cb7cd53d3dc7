"""Normalisation, neuron, attention and pool on a GPU for torch: autograd functions around Triton's kernels."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import torch

from kspike.ops.cpu.norm_lif import NormLIFSpec
from kspike.ops.torch.calls import transformed
from kspike.ops.torch.transforms import once_differentiable

#: The most time steps whose potentials are kept in registers.
MOST_STEPS = 16
#: Elements of a tile: forward; backward, which keeps a tile of potentials for every time step in registers, up to four
#: steps; and backward beyond four.
TILE, TILE_BACK, TILE_BACK_LONG = 1024, 512, 256
#: The most programs that a sum is split over.
PROGRAMS = 512
#: The most tokens, and channels of a head, that one program of the attention holds.
MOST_TOKENS, MOST_HEAD_DIM = 256, 128
FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@functools.cache
def kernels() -> Any:
    """The kernels, or None where Triton is missing or does not work: slower, never wrong."""
    try:
        from kspike.ops.gpu import kernels as gpu_kernels

        probe = torch.zeros((1, 2, 1, 16), device="cuda")
        spec = NormLIFSpec(2.0, 1.0, 0.0, True, True, 0, 4.0, 1e-5, False, False)
        spikes, *_ = forward(gpu_kernels, spec, probe, (None,) * 5, torch.float32)
        backward(gpu_kernels, spec, spikes, probe, (None,) * 5, False)
        return gpu_kernels
    except Exception as error:
        warnings.warn(
            f"kspike: neurons run step by step, several times slower, for Triton does not work here ({error!s:.200}). "
            "Install the triton that belongs to this torch, or set KSPIKE_REFERENCE_OPS=1 to do without and without "
            "this warning.",
            stacklevel=2,
        )
        return None


def takes(x: Any) -> bool:
    """Whether the kernels take this tensor: dense, on a GPU, of 32 bits or fewer, not being traced."""
    return (
        isinstance(x, torch.Tensor)
        and x.is_cuda
        and x.dtype in FLOATS
        and not x.is_sparse
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and not transformed()
        and kernels() is not None
    )


def _shape(x: torch.Tensor, spec: NormLIFSpec, inverse_tau: torch.Tensor | None) -> tuple[int, int, int]:
    """(rows, places, channels) as which the kernels take (batch, time, ..., channels)."""
    batch, _, *others = x.shape
    if spec.normalised or (inverse_tau is not None and inverse_tau.numel() > 1):
        channels = others[-1]
        places = math.prod(others[:-1])
    else:  # no parameter differs by channel
        channels, places = math.prod(others), 1
    return batch * places, places, channels


def _power(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def _tile(channels: int, numbers: int) -> tuple[int, int]:
    """Rows and channels of a tile of so many elements, both powers of two."""
    wide = 128 if channels > 128 else _power(channels)
    if channels > 128 and channels % 128:
        wide = 64 if channels % 64 == 0 else 128
    return max(1, numbers // wide), wide


def _tiles(rows: int, channels: int, numbers: int) -> tuple[tuple[int, int], dict[str, int]]:
    """The grid that covers so many rows and channels, and the tile size as keyword arguments of a kernel."""
    high, wide = _tile(channels, numbers)
    return (-(-rows // high), -(-channels // wide)), {"R": high, "C": wide}


def _kernel_options(spec: NormLIFSpec, inverse_tau: torch.Tensor | None) -> dict[str, Any]:
    """The spec as keyword arguments of a kernel."""
    leak, tau = 0, spec.tau
    if inverse_tau is not None:
        leak = 1 if inverse_tau.numel() == 1 else 2
    elif math.frexp(tau)[0] == 0.5:
        leak, tau = 3, 1.0 / tau
    return {
        "epsilon": spec.epsilon, "tau": tau, "v_threshold": spec.v_threshold, "v_reset": spec.v_reset or 0.0,
        "NORM": spec.normalised, "LEAK": leak, "DECAY": spec.decay_input, "SOFT": spec.v_reset is None,
        # fused multiply-adds round otherwise than the other paths
        "enable_fp_fusion": leak in (0, 3),
    }  # fmt: skip


def moments(loops: Any, x: torch.Tensor, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of each channel, float32."""
    rows = x.numel() // channels
    (tiles, across), tile = _tiles(rows, channels, TILE)
    parts = min(tiles, max(1, PROGRAMS // across))
    means, spreads = x.new_empty((2, parts, channels), dtype=torch.float32)
    counts = x.new_empty(parts, dtype=torch.float32)
    loops.moments[parts, across](x, means, spreads, counts, rows, channels, **tile)
    mean, variance = x.new_empty((2, channels), dtype=torch.float32)
    few = min(16, tile["C"])
    loops.combine_moments[(-(-channels // few),)](
        means, spreads, counts, mean, variance, parts, channels, P=_power(parts), C=few
    )
    return mean, variance


def forward(loops: Any, spec: NormLIFSpec, x: torch.Tensor, given: tuple, dtype: torch.dtype) -> tuple:
    """(spikes, mean, variance) of contiguous x; given = (gamma, beta, mean, variance, 1 / tau), None for none."""
    gamma, beta, mean, variance, inverse_tau = given
    rows, places, channels = _shape(x, spec, inverse_tau)
    if spec.batch:
        mean, variance = moments(loops, x, channels)
    out = torch.empty_like(x, dtype=dtype)
    grid, tile = _tiles(rows, channels, TILE)
    loops.fire[grid](
        x, out, mean, variance, gamma, beta, inverse_tau, rows=rows, places=places, channels=channels, T=x.shape[1],
        **tile, **_kernel_options(spec, inverse_tau),
    )  # fmt: skip
    return out, mean, variance


def backward(
    loops: Any, spec: NormLIFSpec, grad_output: torch.Tensor, x: torch.Tensor, given: tuple, wanted: bool
) -> tuple:
    """Gradients of x, gamma, beta and 1 / tau; the last three only where `wanted`, or where grad_x needs their sums."""
    gamma, beta, mean, variance, inverse_tau = given
    rows, places, channels = _shape(x, spec, inverse_tau)
    (tiles, across), tile = _tiles(rows, channels, TILE_BACK if x.shape[1] <= 4 else TILE_BACK_LONG)
    common = {
        "alpha": spec.alpha, "rows": rows, "places": places, "channels": channels, "T": x.shape[1], **tile,
        "DETACH": spec.detach_reset, "KIND": spec.surrogate, "BATCH": spec.batch, **_kernel_options(spec, inverse_tau),
    }  # fmt: skip
    sums = means = None
    if spec.batch or wanted:
        programs = min(tiles, max(1, PROGRAMS // across))
        parts = x.new_empty((programs, 3, channels), dtype=torch.float32)
        arrays = grad_output, x, None, mean, variance, gamma, beta, inverse_tau, None, parts
        loops.fire_backward[programs, across](*arrays, SUMS=True, **common)
        sums = parts.sum(0)
        means = sums[:2] / (x.numel() // channels)
    grad_x = torch.empty_like(x)
    arrays = grad_output, x, grad_x, mean, variance, gamma, beta, inverse_tau, means, None
    loops.fire_backward[tiles, across](*arrays, SUMS=False, **common)
    if sums is None:
        return grad_x, None, None, None
    grad_inverse_tau = None
    if inverse_tau is not None:
        grad_inverse_tau = (sums[2] if inverse_tau.numel() > 1 else sums[2].sum()).reshape(inverse_tau.shape)
    return grad_x, sums[1], sums[0], grad_inverse_tau


class FusedLIF(torch.autograd.Function):
    """Neurons of x, or of x normalised: (spikes, mean, variance). Saves x, and vectors by channel."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gamma: Any, beta: Any, inverse_tau: Any, moments: tuple, spec: NormLIFSpec,
        dtype: torch.dtype, loops: Any,
    ) -> tuple:  # fmt: skip
        # copied: an optimizer or a moving average may change these in place before backward
        given = tuple(None if a is None else a.detach().clone() for a in (gamma, beta, *moments, inverse_tau))
        out, mean, variance = forward(loops, spec, x, given, dtype)
        ctx.save_for_backward(x)
        ctx.spec, ctx.loops, ctx.given = spec, loops, (*given[:2], mean, variance, given[4])
        if mean is not None:
            ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor, *_: Any) -> tuple:
        (x,) = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:4]
        found = backward(ctx.loops, ctx.spec, grad_output.contiguous(), x, ctx.given, any(needed))
        wanted = zip(found[1:], needed, strict=True)
        return found[0], *(a if need else None for a, need in wanted), None, None, None, None


class Attend(torch.autograd.Function):
    """q (k^T v), float32; saves the spikes alone."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, loops: Any) -> torch.Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.loops = loops
        out = q.new_empty((*q.shape[:3], q.shape[3] * q.shape[4]), dtype=torch.float32)
        loops.attend[_frames(q), q.shape[3]](q, k, v, out, **_sizes(q))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        q, k, v = ctx.saved_tensors
        grads = tuple(q.new_empty(q.shape) for _ in range(3))
        ctx.loops.attend_backward[_frames(q), q.shape[3]](q, k, v, grad_output.contiguous(), *grads, **_sizes(q))
        return *grads, None


def _frames(q: torch.Tensor) -> int:
    return q.shape[0] * q.shape[1]


def _sizes(q: torch.Tensor) -> dict[str, Any]:
    tokens, _, head_dim = q.shape[2:]
    return {
        "frame": q.stride(1), "token": q.stride(2), "tokens": tokens, "head_dim": head_dim,
        "N": max(16, _power(tokens)), "D": max(16, _power(head_dim)),
        # tf32 has ten bits of mantissa, bfloat16 and float16 inputs no more
        "PRECISION": "ieee" if q.dtype == torch.float32 else "tf32",
    }  # fmt: skip


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor | None:
    """Attention of (batch, time, tokens, heads, head_dim); None where a head is too large for one program."""
    if not takes(q) or q.shape[2] > MOST_TOKENS or q.shape[4] > MOST_HEAD_DIM or not q.dtype == k.dtype == v.dtype:
        return None
    if not all(_regular(a, q) for a in (q, k, v)):
        q, k, v = (a.contiguous() for a in (q, k, v))
    return Attend.apply(q, k, v, kernels())


def _regular(a: torch.Tensor, like: torch.Tensor) -> bool:
    """Whether frames are evenly strided, heads contiguous, and strides those of `like`."""
    batch, frame, _, head, channel = a.stride()
    return a.stride() == like.stride() and channel == 1 and head == a.shape[4] and batch == frame * a.shape[1]


def fused(
    x: torch.Tensor, gamma: Any, beta: Any, inverse_tau: Any, moments: tuple, spec: NormLIFSpec, dtype: torch.dtype
) -> tuple:
    """(spikes, mean, variance) of contiguous x, with the gradients of all that is learned."""
    return FusedLIF.apply(x, gamma, beta, inverse_tau, moments, spec, dtype, kernels())


class MaxPool(torch.autograd.Function):
    """3x3 max-pool of stride 2 of contiguous (n, height, width, channels); saves one byte an output."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, loops: Any) -> torch.Tensor:
        frames, height, width, channels = x.shape
        size = frames, -(-height // 2), -(-width // 2), channels
        out, place = x.new_empty(size), x.new_empty(size, dtype=torch.uint8)
        ctx.save_for_backward(place)
        ctx.shape, ctx.loops = x.shape, loops
        grid, tile = _tiles(math.prod(size[:3]), channels, TILE)
        loops.pool[grid](x, out, place, *x.shape[:3], *size[1:], **tile)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        (place,) = ctx.saved_tensors
        grad_x = grad_output.new_empty(ctx.shape)
        grid, tile = _tiles(math.prod(ctx.shape[:3]), ctx.shape[-1], TILE)
        ctx.loops.pool_backward[grid](grad_output.contiguous(), place, grad_x, *ctx.shape[:3], *place.shape[1:], **tile)
        return grad_x, None


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """The pool of `kspike.ops.max_pool`."""
    return MaxPool.apply(x.contiguous(), kernels())
