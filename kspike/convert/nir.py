"""Networks in NIR, the neuromorphic intermediate representation, as Keras models of our layers."""

from __future__ import annotations

import os
from graphlib import CycleError, TopologicalSorter
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike._files import expanded
from kspike.layers import LIF, Neuron
from kspike.layers.products import Conv2D, Dense

#: Seconds of a time step: what SpikingJelly, snnTorch, norse and others take by default.
STEP = 1e-4


def from_nir(path: str | os.PathLike[str], timesteps: int, *, dt: float = STEP) -> keras.Model:
    """Reads a .nir file as a Keras model: convolutions and products of Keras, `kspike.layers.LIF` and neurons "if".

    Understood are the nodes Input, Output, Conv2d, Affine, Linear, AvgPool2d, SumPool2d, Flatten, LIF, IF and
    Threshold, in graphs without a circle; several edges into one node are a sum. Neurons fire where the potential
    reaches the threshold (>=), as SpikingJelly's; NIR itself says >, and so do snnTorch and norse: there a potential
    that meets its threshold exactly does not fire.

    Args:
        path: of the file.
        timesteps: T, which the file does not say.
        dt: seconds of a time step.

    Returns:
        A functional model: frames `(batch, T, height, width, channels)`, channels last, or `(batch, T, features)`, to
        what the last node gives at each step. Layers have the nodes' names, with "_" for "/" and ".".

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable file, a node or a setting of one that has no layer here, by its name.
        ImportError: the package nir is not installed.

    Example:
        >>> import kspike
        >>> model = kspike.convert.from_nir("digits.nir", timesteps=2)  # doctest: +SKIP
    """
    if isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1:
        raise ValueError(f"Expected timesteps to be a whole number above 0; received {timesteps!r}.")
    file = expanded(path)
    if not file.is_file():
        raise FileNotFoundError(f"No .nir file at {os.fspath(file)!r}.")
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            "Reading .nir takes nir, not installed here: pip install 'kspike[nir]'.", name="nir"
        ) from error
    try:
        graph = nir.read(str(file))
        order = list(TopologicalSorter(_sources(graph)).static_order())
    except CycleError:
        raise ValueError(f"{file.name} holds a circle of edges; only networks without one are read.") from None
    except Exception as error:  # h5py and nir raise errors of any type for a damaged or foreign file
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{file.name} is no .nir file that can be read here: {first}") from None
    return _Reader(graph, timesteps, dt).model(order)


def _sources(graph: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        found[target].append(source)
    return found


class _Reader:
    """Turns nodes into layers, in the order in which they run."""

    def __init__(self, graph: Any, timesteps: int, dt: float) -> None:
        self.graph, self.timesteps, self.dt = graph, timesteps, dt
        self.sources = _sources(graph)
        self.values: dict[str, Any] = {}
        self.filled: list[tuple[Any, list[Any]]] = []

    def model(self, order: list[str]) -> keras.Model:
        """The whole graph."""
        inputs = outputs = None
        for name in order:
            node = self.graph.nodes[name]
            kind = type(node).__name__
            if kind == "Input":
                if inputs is not None:
                    raise ValueError(f"Expected one input; {name} is a second one.")
                inputs = self.values[name] = self._input(name, node)
                continue
            if not self.sources[name]:
                raise ValueError(f"The node {name} has no input.")
            taken = [self.values[each] for each in self.sources[name]]
            x = taken[0] if len(taken) == 1 else keras.layers.Add()(taken)
            if kind == "Output":
                outputs = x
                continue
            read = getattr(self, f"_{kind.lower()}", None)
            if read is None:
                raise ValueError(f"The node {name} is a {kind}, which has no layer here.")
            # Keras takes no "/" in a name, and torch no "."
            self.values[name] = read(name.replace("/", "_").replace(".", "_"), node, x)
        if inputs is None or outputs is None:
            raise ValueError("Expected a node Input and a node Output; the graph lacks one.")
        made = keras.Model(inputs, outputs, name="nir")
        for layer, weights in self.filled:
            layer.set_weights(weights)
        return made

    def _input(self, name: str, node: Any) -> Any:
        return keras.Input((self.timesteps, *self._last(node.input_type["input"])), name=name)

    @staticmethod
    def _last(shape: Any) -> tuple[int, ...]:
        """Channels first -> channels last."""
        sizes = tuple(int(n) for n in np.ravel(shape))
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
        weight = np.asarray(node.weight)
        if isinstance(node.padding, str):
            raise ValueError(f"The padding of {name} is {node.padding!r}; numbers are read alone.")
        layer = Conv2D(
            len(weight),
            weight.shape[2:],
            strides=_pair(node.stride),
            padding="valid",
            groups=int(node.groups),
            name=name,
        )
        self.filled.append((layer, [weight.transpose(2, 3, 1, 0), np.asarray(node.bias)]))
        return self._framed(x, *self._padding(name, node.padding), layer)

    def _padding(self, name: str, padding: Any) -> list[Any]:
        sides = _pair(padding)
        return [keras.layers.ZeroPadding2D(sides, name=f"{name}_padding")] if any(sides) else []

    def _avgpool2d(self, name: str, node: Any, x: Any) -> Any:
        pool = keras.layers.AveragePooling2D(_pair(node.kernel_size), _pair(node.stride), name=name)
        return self._framed(x, *self._padding(name, node.padding), pool)

    def _sumpool2d(self, name: str, node: Any, x: Any) -> Any:
        return self._avgpool2d(name, node, x) * float(np.prod(_pair(node.kernel_size)))

    def _flatten(self, name: str, node: Any, x: Any) -> Any:
        if len(x.shape) == 5:  # NIR's order: channels first
            x = ops.transpose(x, (0, 1, 4, 2, 3))
        return ops.reshape(x, (-1, self.timesteps, int(np.prod(x.shape[2:]))))

    def _affine(self, name: str, node: Any, x: Any) -> Any:
        return self._product(name, np.asarray(node.weight), np.asarray(node.bias), x)

    def _linear(self, name: str, node: Any, x: Any) -> Any:
        return self._product(name, np.asarray(node.weight), None, x)

    def _product(self, name: str, weight: np.ndarray, bias: np.ndarray | None, x: Any) -> Any:
        if weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
            raise ValueError(f"The product {name} takes {weight.shape[-1]} numbers; it is given {tuple(x.shape[2:])}.")
        layer = Dense(len(weight), use_bias=bias is not None, name=name)
        self.filled.append((layer, [weight.T, *([] if bias is None else [bias])]))
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
        if len(found) != 1 or not np.isfinite(found[0]):
            raise ValueError(f"{setting} of {name} has {len(found):,} values; one number for all has a layer here.")
        return float(found[0])

    def _only(self, name: str, **settings: tuple[Any, float]) -> None:
        for setting, (values, known) in settings.items():
            if not np.allclose(np.asarray(values, "float64"), known, rtol=1e-6, atol=0.0):
                raise ValueError(f"{setting} of {name} is {np.unique(values)[:4]}; {known:g} has a layer here.")


def _pair(value: Any) -> tuple[int, int]:
    found = [int(n) for n in np.ravel(value)]
    return (found[0], found[-1])
