"""Neuron programs under PyTorch on a CPU, by compiled loops: x alone is kept for the backward pass."""

from __future__ import annotations

from typing import Any

import torch

from kspike.ops.cpu import norm_lif
from kspike.ops.program import Program
from kspike.ops.torch.calls import arrays, kernels_for


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, loops: Any, spec: Any, again: Any) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.given = loops, spec, again
        out = torch.empty_like(x)
        loops.forward(spec, *arrays(x, out), torch.get_num_threads())
        return out

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        loops, spec, again = ctx.given
        if torch.is_grad_enabled():  # to be differentiated again: by the step itself
            return torch.autograd.grad(again(x), x, grad_output, create_graph=True)[0], None, None, None
        grad = torch.empty_like(x)
        loops.backward(spec, *arrays(grad_output.contiguous(), x, grad), torch.get_num_threads())
        return grad, None, None, None


def run_program(x: torch.Tensor, program: Program, starts: tuple, again: Any, **constants: Any) -> torch.Tensor | None:
    """Spikes of a neuron program over axis 1; None where the loops do not take x, or a step itself is as fast."""
    if kernels_for(x) is None or x.dtype != torch.float32:
        return None
    from kspike.ops.cpu import program as cpu_program  # numba is there

    spec = cpu_program.spec_of(norm_lif.SURROGATES, program, starts, tuple(x.shape), **constants)
    return None if spec is None else _Steps.apply(x.contiguous(), cpu_program, spec, again)
