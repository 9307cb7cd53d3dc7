"""How functions run under JAX: jax.jit and jax.grad over Keras variables, devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras


def accelerated() -> bool:
    """Whether arrays live on another device than the CPU."""
    return jax.default_backend() != "cpu"


def jit(fn: Callable, variables: Sequence[Any]) -> Callable:
    """jax.jit of a function of the variables' values; what it assigns is written back after the call."""

    def pure(values: list, args: tuple) -> tuple:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
            out = fn(*args)
        return out, [scope.get_current_value(variable) for variable in variables]

    compiled = jax.jit(pure)

    def run(*args: Any) -> Any:
        values = [variable.value for variable in variables]
        out, after = compiled(values, args)
        for variable, old, new in zip(variables, values, after, strict=True):
            if new is not old:
                variable.assign(new)
        return out

    # the traced program of such a call, which the call itself reuses
    run.traced = lambda *args: compiled.trace([variable.value for variable in variables], args)  # type: ignore[attr-defined]
    return run


def gradients(fn: Callable, of: Sequence[Any], variables: Sequence[Any]) -> Callable:
    """jax.grad under jax.jit, of a function of the variables' values; what it assigns is dropped."""

    def pure(values: list, others: list, args: tuple) -> tuple:
        mapping = [*zip(of, values, strict=True), *zip(variables, others, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return fn(*args)

    compiled = jax.jit(jax.grad(pure, has_aux=True))

    def run(*args: Any) -> tuple:
        found, aux = compiled([v.value for v in of], [v.value for v in variables], args)
        return aux, found

    return run
