"""JAX: the products in the program that a compiled function was traced to."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax

from kspike.ops.watching import Ran, innermost, tag

#: Primitives with kernels of their own, whose size the program does not show.
_UNKNOWN = ("ragged_dot", "scaled_matmul", "dot_product_attention", "rnn")
#: Primitives that run their inner program a number of times that the program does not show.
_REPEATED = ("while", "pallas_call")


def place(number: int) -> contextlib.AbstractContextManager:
    """What is traced within it runs at this place."""
    return jax.named_scope(tag(number))


def watched(run: Any, args: tuple) -> tuple[Any, list[Ran]]:
    """(run(*args), the products that ran inside places); `run` is what `jit` gave, and is traced once for both."""
    program = run.traced(*args).jaxpr
    return run(*args), list(_products(program.jaxpr, "", 1, True))


def _products(program: Any, around: str, times: int, exact: bool) -> Iterator[Ran]:
    for equation in program.eqns:
        name = equation.primitive.name
        # the name stack of an inner program starts empty
        names = f"{around}/{equation.source_info.name_stack}"
        at, count = innermost(names), _COUNTS.get(name)
        if count is None and not name.startswith(_UNKNOWN):
            yield from _inside(equation, names, times, exact)
        elif at is not None:
            yield Ran(at, 0 if count is None else count(equation) * times, exact and count is not None)


def _inside(equation: Any, names: str, times: int, exact: bool) -> Iterator[Ran]:
    name = equation.primitive.name
    if name == "scan":
        times = times * equation.params["length"]
    exact = exact and name not in _REPEATED
    found = [list(_products(part, names, times, exact)) for part in _programs(equation.params.values())]
    if name == "cond":  # one of its branches runs: count the most expensive
        found = [max(found, key=lambda ran: sum(each.macs for each in ran), default=[])]
    for each in found:
        yield from each


def _programs(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _programs(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(getattr(value, "jaxpr", None), "eqns"):
            yield value.jaxpr


def _of_dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return math.prod(equation.outvars[0].aval.shape) * math.prod(shape[i] for i in contracted)


def _of_convolution(equation: Any) -> int:
    """Padding included; a transposed convolution (dilated input) is counted by its input, as Keras defines it."""
    x, kernel = (v.aval.shape for v in equation.invars)
    outputs, inputs = equation.params["dimension_numbers"].rhs_spec[:2]
    if any(n > 1 for n in equation.params["lhs_dilation"]):
        return math.prod(x) * math.prod(kernel) // kernel[inputs] // equation.params["feature_group_count"]
    return math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // kernel[outputs]


_COUNTS: dict[str, Callable[[Any], int]] = {"dot_general": _of_dot, "conv_general_dilated": _of_convolution}
