"""Which of PyTorch's tensors the compiled CPU loops take, and their memory as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kspike.ops.cpu import norm_lif
from kspike.ops.torch import openmp

openmp.install()


def transformed() -> bool:
    """Whether a torch.func transform, or forward-mode differentiation, is active; torch.compile traces neither."""
    if torch.compiler.is_compiling():
        return False
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    return forward_mode or torch._C._functorch.peek_interpreter_stack() is not None


def kernels_for(x: Any) -> Any:
    """The compiled loops if they take this tensor, else None: dense, on the CPU, float32 or bfloat16, not traced."""
    if (
        not isinstance(x, torch.Tensor)
        or x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.bfloat16)
        or x.is_sparse
        or torch.compiler.is_compiling()
        or transformed()
    ):
        return None
    return norm_lif.kernels()


def taken(x: Any, *others: torch.Tensor) -> list[np.ndarray] | None:
    """x and others as the loops read them; None where the loops cannot take x."""
    return None if kernels_for(x) is None else arrays(x, *others)


def array(x: torch.Tensor | None) -> np.ndarray:
    """The same memory as a NumPy array; bfloat16 as uint16; an empty one for None."""
    if x is None:
        return np.empty(0, "float32")
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def arrays(*tensors: torch.Tensor | None) -> list[np.ndarray]:
    """`array` of each of them."""
    return [array(x) for x in tensors]
