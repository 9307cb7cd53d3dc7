"""Chooses among layers by a number that is known only when the program runs: the chosen one alone is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
from keras import ops

from kspike._types import Array, Scalar, Signal
from kspike.ops import branch as traced_in_branch


def _own(operands: Sequence[Any]) -> Sequence[Any]:
    """The operands as a branch's own tensors.

    TensorFlow's branches read those of the program around, which a custom gradient then keeps hold of; where one switch
    stands in another, the gradient cannot find them.
    """
    return [ops.copy(x) for x in operands] if keras.backend.backend() == "tensorflow" else operands


def choose(
    index: Scalar,
    branches: Sequence[Callable],
    x: Signal,
    genes: Annotated[Array, "slots"],
    layers: Sequence[keras.layers.Layer],
    weights: Sequence[Any] = (),
) -> Signal:
    """branches[index](x, genes), index a tensor; all branches must give the shape that the first one gives.

    A branch reads and assigns variables in a scope of its own, and what it assigned leaves it as values: assigning
    inside a branch of a compiled switch would leak what belongs to it alone. Nothing else may be kept in a branch.

    Args:
        index: which branch; a number out of range would run the last one without a word, so it must be in range.
        branches: functions of x and genes. Whatever else they use must be no tensor of the program around: TensorFlow
            cannot differentiate a switch within a switch that reads one.
        x, genes: their inputs.
        layers: all layers, of all branches, that a branch may read or assign variables of.
        weights: further variables that they read.
    """
    variables = list(weights)
    for layer in layers:
        variables += [v for v in layer.variables if not any(v is w for w in weights)]
    assigned = [v for v in variables if not v.trainable]
    dtype = x.dtype

    def scoped(branch: Callable) -> Callable:
        def run(*operands: Any) -> tuple:
            x, genes, *values = _own(operands)
            known = list(zip(variables, values, strict=True))
            with traced_in_branch(), keras.StatelessScope(state_mapping=known) as scope:
                y = ops.cast(branch(x, genes), dtype)
                return (y, *(ops.convert_to_tensor(scope.get_current_value(v)) for v in assigned))

        return run

    values = [ops.convert_to_tensor(v) for v in variables]
    y, *after = ops.switch(index, [scoped(branch) for branch in branches], x, genes, *values)
    for variable, value in zip(assigned, after, strict=True):
        variable.assign(value)
    return y
