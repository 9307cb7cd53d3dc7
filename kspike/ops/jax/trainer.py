"""Keras' loops under JAX, changed so that an error in `predict` or `evaluate` leaves the variables intact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from keras import Model as Base
else:
    Base = object


class KeepsWeights(Base):
    """A mixin before keras.Model: an error raised in `predict` or `evaluate` does not empty the variables.

    While it predicts, evaluates or fits, Keras takes the values out of the variables, passes them to a compiled step
    that may overwrite them (donated buffers), and puts the results back at the end: an error in between leaves the
    variables empty. Here `predict` and `evaluate` get a copy, made once a call; the variables keep their values.

    `fit` has to overwrite its weights. If its first step raises they are put back; if it is interrupted Keras puts back
    those of the last step, unless the interrupted one has overwritten them already.
    """

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        with _forgotten(self):
            return super().predict(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with _forgotten(self):
            return super().evaluate(*args, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        optimizer = getattr(self, "optimizer", None)
        variables = [*self.variables, *self.metrics_variables, *(optimizer.variables if optimizer else ())]
        values = [variable._value for variable in variables]
        try:
            return super().fit(*args, **kwargs)
        except BaseException:
            for variable, value in zip(variables, values, strict=True):
                if variable._value is None and value is not None and not value.is_deleted():
                    variable._value = value
            raise

    def _get_jax_state(self, purge_model_variables: bool = False, **which: Any) -> Any:
        """The values that a loop works on; a loop without the optimizer's does not train."""
        trains = which.get("optimizer_variables", False)
        state = super()._get_jax_state(purge_model_variables=purge_model_variables and trains, **which)
        return state if trains or not purge_model_variables else jax.tree.map(jnp.copy, state)


@contextlib.contextmanager
def _forgotten(model: Any) -> Iterator[None]:
    """Drops an interrupted loop's state: an outer loop would put its overwritten buffers back."""
    try:
        yield
    except BaseException:
        model._jax_state, model._jax_state_synced = None, True
        raise
