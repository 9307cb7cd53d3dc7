"""Writes networks as NIR: each component's own `forward` runs on nodes in place of tensors."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kspike.components import PATHS, geometry
from kspike.components import parts as kinds
from kspike.convert.nir import STEP
from kspike.export.nir_values import Graph, Product, Unsayable, Value, diagonal, lif, square
from kspike.layers import DirectEncoding, RateDecoding, SpikformerBlock
from kspike.layers.component import ComponentLayer, Parts

#: What could stand where NIR cannot say a mixer.
INSTEAD = "token_qk, channel_qk, dwconv3, dwconv5, dwconv7 and identity are mixers that NIR can say"


def graph_of(model: Any, refused: dict[str, str] | None = None) -> tuple[Graph, dict[str, tuple[str, ...]]]:
    """The nodes of a network, and which of them are each neuron layer.

    Args:
        model: a `Spikformer`.
        refused: takes path of a component -> why NIR cannot say it, of all of them; nothing is then raised for them,
            and the graph lacks them.

    Raises:
        ValueError: what NIR cannot say, by the layer's name, with what could stand in its place.
    """
    import nir

    graph, neurons = Graph(), dict[str, tuple[str, ...]]()
    height, width, channels = model.config.image_shape
    graph.nodes["input"] = nir.Input(input_type={"input": np.array([channels, height, width])})
    x: Any = Value(("input",), (channels, height, width), None, graph)
    output = None
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer" or isinstance(layer, DirectEncoding):
            continue  # the same image at every step
        if isinstance(layer, RateDecoding):
            x = _mean(graph, x)
        elif isinstance(layer, SpikformerBlock):
            for name, part, shortcut in zip(PATHS.values(), layer.branches, layer.shortcuts, strict=True):
                if part is None:
                    continue
                y = _component(graph, part, x, f"{layer.name}/{name}", neurons, refused)
                x = _said(functools.partial(operator.add, x, y), layer.name) if shortcut else y
        elif isinstance(layer, ComponentLayer):
            x = _component(graph, layer, x, layer.name, neurons, refused)
        elif layer.name == "head" and output is None:
            graph.prefix = ""
            weights = (np.asarray(_numpy(layer.kernel)).T, np.asarray(_numpy(layer.bias)))
            output = graph.add("head", nir.Affine(*weights), x)
            x = Value((output,), (len(weights[1]), 1, 1), None, graph)
        else:
            raise ValueError(f"NIR cannot say {layer.name}: a {type(layer).__name__}, which its writer does not know.")
    graph.prefix = ""
    count = x.shape[0] * x.shape[1] * x.shape[2]
    graph.add("output", nir.Output(output_type={"output": np.array([count])}), x)
    return graph, neurons


def write(graph: Graph, path: Path, notes: dict[str, str]) -> None:
    """Writes a graph to a file."""
    import nir

    made = nir.NIRGraph(nodes=graph.nodes, edges=graph.edges, metadata={f"kspike_{k}": v for k, v in notes.items()})
    nir.write(str(path), made)


def _mean(graph: Graph, x: Value) -> Value:
    """The mean over all places: an average pool, flattened."""
    import nir

    graph.prefix = ""
    sides = np.array(x.shape[1:])
    pooled = Value(
        (graph.add("mean", nir.AvgPool2d(sides, sides, np.array([0, 0])), x),), (x.shape[0], 1, 1), None, graph
    )
    shape = np.array([x.shape[0], 1, 1])
    return Value((graph.add("flatten", nir.Flatten({"input": shape}, 0, -1), pooled),), pooled.shape, None, graph)


def _said(run: Callable[[], Any], layer: str, hint: str = "") -> Any:
    """What `run` gives; what NIR cannot say is refused by the layer's name."""
    try:
        return run()
    except Unsayable as why:
        raise ValueError(f"NIR cannot say {layer}: it takes {why}.{hint}") from None


def _component(graph: Graph, layer: Any, x: Value, path: str, neurons: dict, refused: dict[str, str] | None) -> Value:
    """What a component gives; where it is refused and that is written down, a map of its size and of no node."""
    try:
        return _run(graph, layer, x, path, neurons)
    except ValueError as why:
        if refused is None:
            raise
        refused[path] = str(why)
        grid = geometry.last(layer.declared, x.shape[1:])
        return Value((), (getattr(layer, "embed_dim", None) or x.shape[0], *grid), None, graph)


def _run(graph: Graph, layer: Any, x: Value, path: str, neurons: dict[str, tuple[str, ...]]) -> Value:
    """Runs a component's `forward` on nodes."""
    if not isinstance(layer, ComponentLayer):
        raise ValueError(f"NIR cannot say {path}: a {type(layer).__name__}, which its writer does not know.")
    graph.prefix = path.replace("/", "_") + "_"
    component = layer.component
    hint = f" {INSTEAD}." if component.role == "mixer" else ""
    calls = {name: _call(graph, layer, name, part, path, neurons) for name, part in layer.declared.items()}
    calls = {name: call for name, call in calls.items() if call is not None}
    if component.role == "head":
        raise ValueError(f"NIR cannot say {path}: a head with neurons, {component.label}; head='mean' can be said.")

    def run() -> Value:
        try:
            y = component.run(Parts(calls), x, NirSizes(layer, x.shape), layer.network)
        except Unsayable:
            raise
        except Exception as error:  # a forward of the user's may do anything with what is no tensor
            what = f"{type(error).__name__}: {error}"
            raise Unsayable(f"what its {component.role} {component.label} does with tensors itself ({what})") from None
        y = _made(y)
        if not isinstance(y, Value):
            raise Unsayable(f"what its {component.role} {component.label} gives, a {type(y).__name__}")
        return y

    return _said(run, path, hint)


def _call(graph: Graph, layer: Any, name: str, part: kinds.Part, path: str, neurons: dict) -> Any:
    """What `forward` gets as a part; None of parts that are nothing to call."""
    if isinstance(part, (kinds.MatMul, kinds.Sum)) or getattr(part, "heads", None) is True:
        return None  # run by `sizes`
    if isinstance(part, kinds.Pool):
        return lambda x: graph.pooled(name, _made(x), part.stride)
    made = layer.part(name)
    if type(part) is kinds.Norm:
        return lambda x, norm=made: _each(lambda y, copy: _normalised(graph, name, y, norm, copy), x, part.copies)
    if isinstance(part, kinds.Neuron):
        return _Neurons(graph, layer, name, part, path, neurons)
    if isinstance(part, kinds.Dense):
        return lambda x: _dense(name, _made(x), made, part.copies)
    if isinstance(part, (kinds.Conv, kinds.DepthwiseConv)):
        return lambda x: _conv(name, _made(x), made, part)
    raise ValueError(
        f"NIR cannot say {path}: its part {name} is a {type(part).__name__}, which its writer does not know."
    )


def _numpy(variable: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(variable)


def _made(x: Any) -> Any:
    return x.made() if isinstance(x, Product) else x


def _each(run: Callable[[Any, int], Any], x: Any, copies: int) -> Any:
    """run on each of the copies side by side."""
    if copies == 1:
        return run(x, 0)
    if not isinstance(x, list) or len(x) != copies:
        raise Unsayable(f"{copies} copies side by side of what are not as many")
    return [run(each, i) for i, each in enumerate(x)]


def _weights(name: str, layer: Any) -> np.ndarray:
    if getattr(layer, "rounds", False):
        raise Unsayable(f"real numbers that {name} rounds to int8; the network of floats it was made of can be said")
    return _numpy(layer.kernel)


def _dense(name: str, x: Value, layer: Any, copies: int) -> Any:
    kernel = _weights(name, layer)
    bias = _numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    kernels, biases = np.split(kernel, copies, axis=-1), np.split(bias, copies)
    found = [
        Product(name if copies == 1 else f"{name}_{i}", x, k.T[:, :, None, None], b, 1, (0, 0))
        for i, (k, b) in enumerate(zip(kernels, biases, strict=True))
    ]
    return found[0] if copies == 1 else found


def _conv(name: str, x: Value, layer: Any, part: Any) -> Product:
    kernel = _weights(name, layer)
    if isinstance(part, kinds.DepthwiseConv):
        kernel = diagonal(kernel.shape[2], kernel.transpose(2, 3, 0, 1)[:, 0])
    else:
        kernel = kernel.transpose(3, 2, 0, 1)
    bias = _numpy(layer.bias) if layer.use_bias else np.zeros(len(kernel))
    side = part.kernel // 2 if getattr(part, "padded", True) else 0
    return Product(name, x, kernel, bias, part.stride, (side, side))


def _normalised(graph: Graph, name: str, x: Any, norm: Any, copy: int) -> Value:
    """Folded into the product before it; behind anything else a product by a diagonal."""
    if not isinstance(x, Product):
        x = Product(name, x, diagonal(x.shape[0], np.ones((1, 1))), np.zeros(x.shape[0]), 1, (0, 0))
    count = len(x.bias)
    scale, shift = (each[copy * count : (copy + 1) * count] for each in norm.affine())
    return x.scaled(scale, shift).made()


class _Neurons:
    """A neuron part: `part.name(x)`, or `part.name(x, norm=part.norm)`."""

    def __init__(self, graph: Graph, layer: Any, name: str, part: Any, path: str, neurons: dict) -> None:
        self.graph, self.name, self.part, self.neurons = graph, name, part, neurons
        self.layer = layer.part(name)
        self.path = f"{path}/{name}"

    def __call__(self, x: Any, norm: Any = None) -> Any:
        x = x if norm is None else norm(x)
        found = _each(lambda y, copy: self._fired(_made(y), copy), x, self.part.copies)
        nodes = [each.nodes[0] for each in found] if isinstance(found, list) else [found.nodes[0]]
        self.neurons[self.path] = tuple(nodes)
        return found

    def _fired(self, x: Value, copy: int) -> Value:
        layer = self.layer
        if layer.v_reset is None:
            raise Unsayable(
                f"a soft reset ({self.name}: v_reset=None), which NIR does not tell from a hard one; v_reset=0.0 can "
                "be said"
            )
        kind = getattr(layer, "component", None)
        name = type(layer).__name__ if kind is None else kind.label
        suffix = f"_{copy}" if self.part.copies > 1 else ""
        shared = {"v_threshold": layer.v_threshold, "v_reset": float(layer.v_reset)}
        if name == "if":
            import nir

            full = lambda value: np.full(x.shape, value, "float64")
            node = nir.IF(r=full(1.0 / STEP), v_threshold=full(layer.v_threshold), v_reset=full(layer.v_reset))
        elif name in ("LIF", "PLIF"):
            tau = layer.tau if name == "LIF" else np.resize(_numpy(layer.tau), self.part.copies)[copy]
            node = lif(x.shape, tau=float(tau), r=1.0 if layer.decay_input else float(tau), **shared)
        else:
            raise Unsayable(f"neurons {name} ({self.name}), which are none of lif, plif and if")
        return self.graph.neuron(f"{self.name}{suffix}", x, node)


class NirSizes:
    """What `forward` gets as `sizes`: what is done by heads and tokens, on nodes."""

    def __init__(self, layer: Any, shape: tuple[int, int, int]) -> None:
        self.width, self.tokens = shape[0], shape[1] * shape[2]
        self.heads = getattr(layer, "num_heads", 1)
        self.grid = shape[1:]

    def split(self, x: Any, copies: int) -> list[Any]:
        """The copies side by side."""
        return _each(lambda y, _: y, x, copies) if copies > 1 else [x]

    def attend(self, *moving: Any, **how: Any) -> Any:
        """Refused: a product of two moving tensors."""
        raise Unsayable("the product of two moving tensors, q k^T v")

    def sum_heads(self, x: Any) -> Value:
        """A 1x1 convolution of ones over each head's channels."""
        x = _made(x)
        return x.mapped("head_sum", self._heads(x.shape[0]))

    def to_channels(self, x: Any) -> Value:
        """A 1x1 convolution that gives a head's number to each of its channels."""
        return _made(x).mapped("to_channels", self._heads(self.width).T)

    def _heads(self, channels: int) -> np.ndarray:
        return np.repeat(np.eye(self.heads), channels // self.heads, axis=1)

    def sum(self, x: Any, over: str) -> Value:
        """A convolution of ones over all places, exact for spikes."""
        if over != "tokens":
            raise Unsayable(f"a sum over {over}")
        x = _made(x)
        kernel = diagonal(x.shape[0], np.ones(square(x.shape)))
        highest = None if x.highest is None else x.highest * self.tokens
        return x.graph.conv("token_sum", x, kernel, highest=highest)

    def mean(self, x: Any, over: str) -> Any:
        """Refused."""
        raise Unsayable(f"a mean over {over}")

    def __getattr__(self, name: str) -> Any:
        raise Unsayable(f"`sizes.{name}`")

    def to_grid(self, x: Any) -> Any:
        """Tokens lie on their grid here."""
        return x

    def to_tokens(self, x: Any) -> Any:
        """As `to_grid`."""
        return x
