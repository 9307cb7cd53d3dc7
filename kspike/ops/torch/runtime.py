"""How functions run under PyTorch: eagerly, in chunks of the batch, as CUDA graphs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from keras import ops, tree

#: Bytes of the largest tensor of a chunk of a batch. malloc keeps blocks of up to 32 MB for the next layer, but maps
#: larger ones anew each time, and their page faults cost as much as a layer. A chunk also stays in the cache.
PART = 24 * 2**20


def by_parts(fn: Callable, x: Any, numbers: int, dtype: str) -> torch.Tensor | None:
    """fn chunk by chunk of the batch, on a CPU without gradients; None if one chunk is enough, or gradients are on."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    x = ops.convert_to_tensor(x)
    if x.device.type != "cpu":
        return None
    parts = parts_of(x.shape[0], numbers, dtype)
    return torch.cat([fn(part) for part in x.tensor_split(parts)]) if parts > 1 else None


def parts_of(images: int, numbers: int, dtype: str) -> int:
    """In how many chunks a batch of so many images runs on a CPU."""
    return min(images, math.ceil(images * numbers * getattr(torch, dtype).itemsize / PART))


def clip_each(gradients: Sequence[torch.Tensor], longest: float) -> list[torch.Tensor]:
    """Gradients no longer than `longest` each, by their L2 norm: a few calls for all of them."""
    norms = torch._foreach_norm(gradients)
    torch._foreach_clamp_min_(norms, longest)
    return torch._foreach_mul(gradients, torch._foreach_mul(torch._foreach_reciprocal(norms), longest))


def accelerated() -> bool:
    """Whether new tensors are put on another device than the CPU."""
    return ops.convert_to_tensor(0.0).device.type not in ("cpu", "meta")


def recorded(fn: Callable, module: torch.nn.Module, example: torch.Tensor) -> Callable | None:
    """fn as CUDA graphs of its forward and backward passes, replayed at each call without a launch for every kernel.

    For one shape, as graphs use fixed memory. None where there is no CUDA.
    """
    example = ops.convert_to_tensor(example).detach().clone()
    if not example.is_cuda or torch.compiler.is_compiling():
        return None

    class Whole(torch.nn.Module):  # the graphs give gradients of its parameters
        def __init__(self) -> None:
            super().__init__()
            self.inside = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return fn(x)

    # capturing runs it a few times first: what those runs assign is undone
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
