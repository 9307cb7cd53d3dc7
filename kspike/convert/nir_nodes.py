"""What a node of NIR is as a layer of Keras or of kspike."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike.layers import LIF, Neuron
from kspike.layers.products import Conv2D, Dense


class Nodes:
    """One method a node: its name in lower case, of the layer's name, the node and what comes in.

    Args:
        timesteps: T.
        dt: seconds of a time step.
    """

    def __init__(self, timesteps: int, dt: float) -> None:
        self.timesteps, self.dt = timesteps, dt
        self.names: set[str] = set()
        #: (name, layer, weights), to be filled once the model is built.
        self.filled: list[tuple[str, Any, list[Any]]] = []

    def free(self, name: str) -> str:
        """A layer's name that Keras and every backend take, and that no other layer has."""
        plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
        found, number = plain, 1
        while found in self.names:
            number += 1
            found = f"{plain}_{number}"
        self.names.add(found)
        return found

    def _input(self, name: str, node: Any) -> Any:
        return keras.Input((self.timesteps, *self._last(node.input_type["input"])), name=name)

    @staticmethod
    def _last(shape: Any) -> tuple[int, ...]:
        """Channels first -> channels last."""
        sizes = tuple(int(n) for n in np.ravel(shape))
        if not sizes or min(sizes) < 1:
            raise ValueError(f"its shape is {list(sizes)}; sizes above 0 have a layer here")
        return (*sizes[1:], sizes[0])

    def _framed(self, x: Any, *layers: Any) -> Any:
        """Layers of frames over (batch, time, ...)."""
        y = ops.reshape(x, (-1, *x.shape[2:]))
        for layer in layers:
            y = layer(y)
        return ops.reshape(y, (-1, self.timesteps, *y.shape[1:]))

    # -- nodes ------------------------------------------------------------------------------------------------------

    def _conv2d(self, name: str, node: Any, x: Any) -> Any:
        self._only(name, dilation=(node.dilation, 1))
        if isinstance(node.padding, str):
            raise ValueError(f"The padding of {name} is {node.padding!r}; numbers are read alone.")
        weight = _real("weight", node.weight)
        if weight.ndim != 4 or len(x.shape) != 5:
            raise ValueError(f"its weight is {weight.shape}; it is given {tuple(x.shape[2:])}")
        layer = Conv2D(
            len(weight),
            weight.shape[2:],
            strides=_pair(node.stride),
            padding="valid",
            groups=int(node.groups),
            name=name,
        )
        self.filled.append((name, layer, [weight.transpose(2, 3, 1, 0), _real("bias", node.bias)]))
        return self._framed(x, *self._padding(name, node.padding), layer)

    def _padding(self, name: str, padding: Any) -> list[Any]:
        sides = _pair(padding)
        return [keras.layers.ZeroPadding2D(sides, name=self.free(f"{name}_padding"))] if any(sides) else []

    def _avgpool2d(self, name: str, node: Any, x: Any) -> Any:
        pool = keras.layers.AveragePooling2D(_pair(node.kernel_size), _pair(node.stride), name=name)
        return self._framed(x, *self._padding(name, node.padding), pool)

    def _sumpool2d(self, name: str, node: Any, x: Any) -> Any:
        # times the number of places first: a mean of whole numbers is rounded, this one is not
        return self._avgpool2d(name, node, x * float(np.prod(_pair(node.kernel_size))))

    def _flatten(self, name: str, node: Any, x: Any) -> Any:
        if np.size(node.output_type["output"]) != 1:
            sides = [int(n) for n in np.ravel(node.output_type["output"])]
            raise ValueError(f"it flattens to {sides}; one size, of all numbers of a step, has a layer here")
        last = len(x.shape) - 1
        x = ops.transpose(x, (0, 1, last, *range(2, last)))  # NIR's order: channels first
        return ops.reshape(x, (-1, self.timesteps, int(np.prod(x.shape[2:]))))

    def _affine(self, name: str, node: Any, x: Any) -> Any:
        return self._product(name, _real("weight", node.weight), _real("bias", node.bias), x)

    def _linear(self, name: str, node: Any, x: Any) -> Any:
        return self._product(name, _real("weight", node.weight), None, x)

    def _product(self, name: str, weight: np.ndarray, bias: np.ndarray | None, x: Any) -> Any:
        if weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
            raise ValueError(f"The product {name} takes {weight.shape[-1]} numbers; it is given {tuple(x.shape[2:])}.")
        layer = Dense(len(weight), use_bias=bias is not None, name=name)
        self.filled.append((name, layer, [weight.T, *([] if bias is None else [bias])]))
        return layer(x)

    def _lif(self, name: str, node: Any, x: Any) -> Any:
        tau = self._one(name, "tau", node.tau) / self.dt
        tau = round(tau, 9) if abs(tau - round(tau, 9)) < 1e-9 * tau else tau  # 2, and not 2.0000000000000004
        r = self._one(name, "r", node.r)
        reset = self._one(name, "v_reset", node.v_reset)
        self._only(name, v_leak=(node.v_leak, reset))
        if not np.isclose(r, 1.0, rtol=1e-6) and not np.isclose(r, tau, rtol=1e-6):
            raise ValueError(f"r of {name} is {r:g}; 1 and tau / dt, {tau:g}, have a layer here.")
        decay = bool(np.isclose(r, 1.0, rtol=1e-6))
        threshold = self._one(name, "v_threshold", node.v_threshold)
        return LIF(tau=tau, decay_input=decay, v_threshold=threshold, v_reset=reset, name=name)(x)

    def _if(self, name: str, node: Any, x: Any) -> Any:
        self._only(name, r=(np.asarray(node.r) * self.dt, 1.0))
        reset = self._one(name, "v_reset", node.v_reset)
        return Neuron("if", v_threshold=self._one(name, "v_threshold", node.v_threshold), v_reset=reset, name=name)(x)

    def _threshold(self, name: str, node: Any, x: Any) -> Any:
        return ops.cast(x >= self._one(name, "threshold", node.threshold), "float32")

    # -- settings ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _one(name: str, setting: str, values: Any) -> float:
        found = np.unique(np.asarray(values, "float64"))
        if len(found) != 1:
            raise ValueError(f"{setting} of {name} has {len(found):,} values; one number for all has a layer here.")
        if not np.isfinite(found[0]):
            raise ValueError(f"{setting} of {name} is {found[0]:g}; a finite number has a layer here.")
        return float(found[0])

    def _only(self, name: str, **settings: tuple[Any, float]) -> None:
        for setting, (values, known) in settings.items():
            if not np.allclose(np.asarray(values, "float64"), known, rtol=1e-6, atol=0.0):
                raise ValueError(f"{setting} of {name} is {np.unique(values)[:4]}; {known:g} has a layer here.")


def _real(setting: str, values: Any) -> np.ndarray:
    """Weights as an array of finite real numbers."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ValueError(f"its {setting} holds numbers that are not finite and real")
    return found


def _pair(value: Any) -> tuple[int, int]:
    found = [int(n) for n in np.ravel(value)]
    return (found[0], found[-1])
