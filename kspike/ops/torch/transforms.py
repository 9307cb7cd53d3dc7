"""Differentiation under PyTorch other than a plain backward pass: torch.func's transforms, and second derivatives.

Compiled loops and kernels have a first derivative alone. Inside a transform (grad, vmap, jvp, jacrev, ...) the
reference runs instead, whose operations PyTorch differentiates to any order and maps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from kspike.ops.torch.calls import transformed

TWICE = (
    "kspike's fast forms have no second derivative on this backend. Compute what is differentiated twice within "
    "`with kspike.ops.portable():`, or by torch.func (grad, hessian, ...), where the reference runs: slower, and "
    "differentiable as often as you like."
)


class _Once(torch.autograd.Function):
    """The identity on gradients, which raises where they are differentiated in turn."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, *gradients: Any) -> tuple:
        return tuple(None if g is None else g.view_as(g) for g in gradients)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple:
        raise RuntimeError(TWICE)


def once_differentiable(backward: Callable) -> Callable:
    """Runs an autograd.Function's backward without recording it; a second derivative raises, and says what to do.

    PyTorch's own decorator says neither why nor what to do, and misses what depends on saved tensors alone.
    """

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grad_outputs: Any) -> Any:
        if torch.compiler.is_compiling():  # which itself refuses second derivatives
            return backward(ctx, *grad_outputs)
        with torch.no_grad():
            found = backward(ctx, *grad_outputs)
        if not torch.is_grad_enabled():
            return found
        reach = (a for a in (*grad_outputs, *ctx.saved_tensors) if isinstance(a, torch.Tensor) and a.requires_grad)
        anchor = next(reach, None)
        if anchor is None:
            return found
        refused = _Once.apply(anchor, *(found if isinstance(found, tuple) else (found,)))
        return refused if isinstance(found, tuple) else refused[0]

    return wrapper


def substituted(layer: Any) -> list[tuple[Any, torch.Tensor]]:
    """Variables in whose place torch.func.functional_call has put a tensor, each with it, inside a transform.

    Keras' layers read their variables and never the module's parameters, which functional_call replaces.
    """
    held = getattr(layer, "_torch_params", None) if transformed() else None
    if held is None:
        return []
    found = ((v, held[v.path]) for v in layer.variables if v.path in held)
    return [(variable, tensor) for variable, tensor in found if tensor is not variable._value]
