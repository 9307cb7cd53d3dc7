"""Runs a function on shapes alone, as Keras does where a network is made of layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import keras

from kspike._types import Signal

#: What was found sound: tracing takes TensorFlow up to a second, and blocks, networks and supernets are alike.
_SOUND: dict[Hashable, None] = {}
_KEPT = 1000


def check_once(key: Hashable, check: Callable[[], object]) -> None:
    """Runs a check, which raises; one of the same key that passed is not run again."""
    if key in _SOUND:
        return
    check()
    _SOUND[key] = None
    if len(_SOUND) > _KEPT:
        del _SOUND[next(iter(_SOUND))]


class Shapes(keras.Operation):
    """Runs a function on shapes alone."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function
        self.refused: ValueError | None = None

    def of(self, shape: tuple, dtype: str) -> tuple:
        """The shape that the function gives for this one; its ValueErrors as they are, without Keras' words around."""
        try:
            return tuple(self.compute_output_spec(keras.KerasTensor(shape, dtype)).shape)
        except ValueError:
            if self.refused is None:
                raise
            raise self.refused from None

    def call(self, x: Signal) -> Signal:
        try:
            return self.function(x)
        except ValueError as error:
            self.refused = error
            raise
