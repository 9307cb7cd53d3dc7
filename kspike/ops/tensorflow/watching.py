"""TensorFlow: the products in the graph that a function was traced to."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from kspike.ops.watching import Ran, innermost, tag

#: Operations that run their inner graph a number of times that the graph does not show.
_REPEATED = ("While", "StatelessWhile", "For")
#: The placeholder of the item's number, as tf.vectorized_map names it.
_ITEM = re.compile(r"(^|/)loop_body(_\d+)?/PlaceholderWithDefault(_\d+)?$")
#: Operations that run one of their inner graphs.
_CHOICES = ("If", "StatelessIf", "Case", "StatelessCase")


def place(number: int) -> contextlib.AbstractContextManager:
    """What is traced within it runs at this place."""
    return tf.name_scope(tag(number))


def watched(run: Any, args: tuple) -> tuple[Any, list[Ran]]:
    """(run(*args), the products that ran inside places); `run` is what `jit` gave, and is traced once for both."""
    args = tuple(tf.convert_to_tensor(a) for a in args)
    graph = run.get_concrete_function(*args).graph
    return run(*args), list(_products(graph, graph, "", True))


def _products(graph: Any, home: Any, around: str, exact: bool) -> Iterator[Ran]:
    """Of a graph, and of the functions that it calls, which `home` knows by their names."""
    unused = _of_one_item(graph)
    for operation in graph.get_operations():
        if operation in unused:
            continue
        names = f"{around}/{operation.name}"
        at = innermost(names)
        if operation.type in _COUNTS:
            macs = _macs(operation)
            if at is not None and macs != 0:
                yield Ran(at, macs or 0, exact and macs is not None)
            continue
        inside = [graph._get_function(name) or home._get_function(name) for name in _functions(operation)]
        whole = exact and operation.type not in _REPEATED
        found = [list(_products(part.graph, home, names, whole)) for part in inside if part is not None]
        if found and operation.type in _CHOICES:
            found = [max(found, key=lambda ran: sum(each.macs for each in ran))]
        for each in found:
            yield from each


def _of_one_item(graph: Any) -> set[Any]:
    """The operations that tf.vectorized_map traced for one item: they stay in the graph beside what it made of them.

    TensorFlow does not run them. They depend on the item's number, a placeholder that nothing feeds.
    """
    found: set[Any] = set()
    for operation in graph.get_operations():
        item = operation.type == "PlaceholderWithDefault" and _ITEM.search(operation.name)
        if item or any(tensor.op in found for tensor in operation.inputs):
            found.add(operation)
    return found


def _macs(operation: Any) -> int | None:
    try:
        return _COUNTS[operation.type](operation)
    except (TypeError, ValueError):  # a shape that is not known
        return None


def _functions(operation: Any) -> Iterator[str]:
    for value in operation.node_def.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (func.name for func in value.list.func)


def _size(tensor: tf.Tensor) -> int:
    return math.prod(tensor.shape.as_list())


def _of_matrices(operation: Any) -> int:
    turned = any(operation.node_def.attr[name].b for name in ("transpose_a", "adj_x"))
    return _size(operation.outputs[0]) * int(operation.inputs[0].shape[-2 if turned else -1])


def _of_einsum(operation: Any) -> int:
    """Product over all axes that its equation names; of one operand alone it is no product."""
    if len(operation.inputs) < 2:
        return 0
    left, right = operation.get_attr("equation").decode().replace(" ", "").split("->")
    sizes: dict[str, int | None] = {}
    for term, tensor in [*zip(left.split(","), operation.inputs, strict=True), (right, operation.outputs[0])]:
        shape = tensor.shape.as_list()
        head, _, tail = term.partition("...")
        sizes |= dict(zip(head, shape[: len(head)], strict=True))
        sizes |= dict(zip(tail, shape[len(shape) - len(tail) :], strict=True))
        rest = shape[len(head) : len(shape) - len(tail)]  # of the last term, the output's, to which all broadcast
    return math.prod(sizes.values()) * math.prod(rest)


def _of_convolution(operation: Any) -> int:
    return _size(operation.outputs[0]) * math.prod(operation.inputs[1].shape.as_list()[:-1])


def _of_depthwise(operation: Any) -> int:
    return _size(operation.outputs[0]) * math.prod(operation.inputs[1].shape.as_list()[:2])


def _of_transposed(operation: Any) -> int:
    return _size(operation.inputs[2]) * math.prod(operation.inputs[1].shape.as_list()[:-1])


def _unknown(operation: Any) -> int:
    raise ValueError(f"The graph does not say how large {operation.type} is.")


_COUNTS: dict[str, Callable[[Any], int]] = {
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "SparseMatMul"), _of_matrices),
    **dict.fromkeys(("Einsum", "XlaEinsum"), _of_einsum),
    **dict.fromkeys(("Conv", "Conv2D", "Conv3D"), _of_convolution),
    "DepthwiseConv2dNative": _of_depthwise,
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _of_transposed),
    **dict.fromkeys(
        (
            "SparseTensorDenseMatMul", "QuantizedMatMul", "UniformQuantizedDot", "XlaDot", "XlaDotV2", "XlaConv",
            "XlaConvV2", "CudnnRNN", "CudnnRNNV2", "CudnnRNNV3", "DepthwiseConv2dNativeBackpropInput",
            "SparseMatrixMatMul",
        ),
        _unknown,
    ),
}  # fmt: skip
