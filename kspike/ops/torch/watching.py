"""PyTorch: the products and convolutions that pass its dispatcher while a function runs."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from kspike.ops.watching import Ran

aten = torch.ops.aten

#: Multiply-accumulates of products that PyTorch's flop counter leaves out; its formulas are used for all others.
_MORE: dict[Any, Callable[..., int]] = {
    aten.mv: lambda a, b: a.numel(),
    aten.addmv: lambda x, a, b, **_: a.numel(),
    aten.dot: lambda a, b: a.numel(),
    aten.vdot: lambda a, b: a.numel(),
    aten.addr: lambda x, a, b, **_: a.numel() * b.numel(),
    aten.addbmm: lambda x, a, b, **_: a.numel() * b.shape[-1],
    aten._int_mm: lambda a, b: a.numel() * b.shape[-1],
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: (
        sdpa_flop_count(q.shape, k.shape, v.shape) // 2
    ),
}
#: Names of operators that multiply matrices but have no formula: libraries' and packed kernels.
_NAMES = re.compile(r"(^|[:_])(\w?mm|linear|matmul|conv|conv\w*\dd|convolution|rnn|lstm|gru|attention)(_|$)")

_places: list[int] = []


@contextlib.contextmanager
def place(number: int) -> Iterator[None]:
    """What runs within it runs at this place."""
    _places.append(number)
    try:
        yield
    finally:
        _places.pop()


class _Watch(TorchDispatchMode):
    """Notes each product with the place where it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[Ran] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _places:
            macs = _macs(func, args, kwargs or {}, out)
            if macs != 0:
                self.ran.append(Ran(_places[-1], macs or 0, macs is not None))
        return out


def _macs(func: Any, args: Any, kwargs: Any, out: Any) -> int | None:
    """Multiply-accumulates of one operator; 0 if it is no product, None if it is one of unknown size."""
    packet = func.overloadpacket
    try:
        if packet in flop_registry:
            return math.ceil(flop_registry[packet](*args, **kwargs, out_val=out) / 2)
        if packet in _MORE:
            return _MORE[packet](*args, **kwargs)
    except (AttributeError, IndexError, TypeError, ValueError, AssertionError):  # an overload of other arguments
        return None
    return None if _NAMES.search(func._schema.name) else 0


def watched(run: Callable, args: tuple) -> tuple[Any, list[Ran]]:
    """(run(*args), the products that ran inside places)."""
    with _Watch() as watch:
        out = run(*args)
    return out, watch.ran
