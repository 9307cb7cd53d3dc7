"""What a component's `forward` works on where NIR is written: nodes that were made, and sums of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kspike.convert.nir import STEP

#: Time constant, in steps, of a neuron without memory: a thousandth of the last step's rest is left, beside sums of
#: whole numbers of which half a unit decides.
FORGETS = 1.0 + 2.0**-10


class Unsayable(Exception):
    """What NIR cannot say; the reader adds the layer's name."""


@dataclasses.dataclass(frozen=True)
class Value:
    """A map of (channels, height, width) a time step: the sum of what some nodes give.

    Args:
        nodes: names of those nodes.
        shape: channels, height, width.
        highest: where it holds whole numbers from 0 on, the largest there may be: 1 of spikes. None of real numbers.
    """

    nodes: tuple[str, ...]
    shape: tuple[int, int, int]
    highest: int | None
    graph: Any = dataclasses.field(repr=False, compare=False)

    def __add__(self, other: Any) -> Value:
        if not isinstance(other, Value) or other.shape != self.shape:
            raise Unsayable("a sum with something that is no map of its size")
        highest = None if self.highest is None or other.highest is None else self.highest + other.highest
        nodes = list(self.nodes)
        for each in other.nodes:  # two edges between the same nodes are one in NIR
            nodes.append(self.graph.copied(each, other.shape) if each in nodes else each)
        return Value(tuple(nodes), self.shape, highest, self.graph)

    def __mul__(self, other: Any) -> Value:
        """Spikes times spikes: both meet where their sum is 2."""
        if not isinstance(other, Value):
            raise Unsayable("a product with something that is no map")
        if self.highest != 1 or other.highest != 1:
            raise Unsayable("a product of two moving tensors that are no spikes")
        a, b = (each.spread(self._larger(other)) for each in (self, other))
        return self.graph.threshold("and", a + b, 1.5)

    def _larger(self, other: Value) -> tuple[int, int, int]:
        return max(self.shape, other.shape, key=lambda shape: shape[1] * shape[2])

    def spread(self, shape: tuple[int, int, int]) -> Value:
        """One number a channel -> the same at each place: a convolution whose every window sees it once."""
        if self.shape == shape:
            return self
        if self.shape != (shape[0], 1, 1):
            raise Unsayable(f"a map of {self.shape} where {shape} is needed")
        height, width = square(shape)
        kernel = diagonal(shape[0], np.ones((height, width)))
        return self.graph.conv("spread", self, kernel, padding=(height - 1, width - 1), highest=self.highest)

    def mapped(self, name: str, weights: np.ndarray) -> Value:
        """A matrix of 0 and 1, (outputs, channels), at each place."""
        highest = None if self.highest is None else self.highest * int(weights.sum(axis=1).max())
        return self.graph.conv(name, self, weights[:, :, None, None], highest=highest)


@dataclasses.dataclass(frozen=True)
class Product:
    """A product whose node waits for the normalisation behind it, which is folded into it.

    Args:
        name: of the node to be.
        source: what it takes.
        kernel: (outputs, inputs, height, width).
        bias: (outputs,).
        stride, padding: of the convolution.
    """

    name: str
    source: Value
    kernel: np.ndarray
    bias: np.ndarray
    stride: int
    padding: tuple[int, int]

    def scaled(self, scale: np.ndarray, shift: np.ndarray) -> Product:
        """The product, each output times a scale, plus a shift; in float64."""
        kernel = self.kernel.astype("float64") * scale[:, None, None, None]
        return dataclasses.replace(self, kernel=kernel, bias=self.bias.astype("float64") * scale + shift)

    def made(self) -> Value:
        """The node."""
        return self.source.graph.conv(
            self.name, self.source, self.kernel, self.bias, stride=self.stride, padding=self.padding
        )


def square(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width, which are one number: NIR's own check of shapes takes kernels as square."""
    if shape[1] != shape[2]:
        raise Unsayable(f"a kernel over {shape[1]} x {shape[2]} places, where NIR checks square ones alone")
    return shape[1], shape[2]


def diagonal(channels: int, kernel: np.ndarray) -> np.ndarray:
    """The kernel of one channel -> (channels, channels, height, width): each by itself, zeros elsewhere.

    Not NIR's groups: SpikingJelly refuses them.
    """
    out = np.zeros((channels, channels, *kernel.shape[-2:]))
    out[np.arange(channels), np.arange(channels)] = kernel
    return out


class Graph:
    """NIR's nodes and edges while they are made."""

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        #: What stands before the names of the nodes being made.
        self.prefix = ""

    def add(self, name: str, node: Any, *sources: Value) -> str:
        """Puts a node behind what it takes; gives the name that it has."""
        whole = f"{self.prefix}{name}"
        numbered, number = whole, 1
        while numbered in self.nodes:
            number += 1
            numbered = f"{whole}_{number}"
        self.nodes[numbered] = node
        self.edges += [(each, numbered) for source in sources for each in source.nodes]
        return numbered

    def conv(
        self, name: str, source: Value, kernel: np.ndarray, bias: np.ndarray | None = None, *, stride: int = 1,
        padding: tuple[int, int] = (0, 0), highest: int | None = None,
    ) -> Value:  # fmt: skip
        """A convolution, its weights float32."""
        import nir

        height, width = source.shape[1:]
        bias = np.zeros(len(kernel)) if bias is None else bias
        node = nir.Conv2d(
            input_shape=(height, width), weight=kernel.astype("float32"), stride=(stride, stride), padding=padding,
            dilation=(1, 1), groups=1, bias=bias.astype("float32"),
        )  # fmt: skip
        sides = [
            (n + 2 * p - k) // stride + 1 for n, p, k in zip((height, width), padding, kernel.shape[2:], strict=True)
        ]
        return Value((self.add(name, node, source),), (len(kernel), *sides), highest, self)

    def copied(self, node: str, shape: tuple[int, int, int]) -> str:
        """A node that gives what another does."""
        one = Value((node,), shape, None, self)
        return self.conv("copy", one, diagonal(shape[0], np.ones((1, 1)))).nodes[0]

    def neuron(self, name: str, source: Value, node: Any) -> Value:
        """Neurons, one a number; they give spikes."""
        return Value((self.add(name, node, source),), source.shape, 1, self)

    def threshold(self, name: str, source: Value, threshold: float) -> Value:
        """1 where the source reaches a threshold, from each step alone."""
        return self.neuron(name, source, lif(source.shape, tau=FORGETS, r=FORGETS, v_threshold=threshold, v_reset=0.0))

    def pooled(self, name: str, source: Value, stride: int) -> Value:
        """The 3x3 max-pool of spikes: whether any fires in the window is whether their mean reaches half of one."""
        import nir

        if source.highest != 1:
            raise Unsayable(
                "a max-pool of real numbers; one of spikes can be said (sps pools them, pool_after='neuron')"
            )
        node = nir.AvgPool2d(*(np.array([n, n]) for n in (3, stride, 1)))
        channels, height, width = source.shape
        sides = (channels, -(-height // stride), -(-width // stride))
        mean = Value((self.add(f"{name}_mean", node, source),), sides, None, self)
        return self.threshold(name, mean, 0.5 / 9)


def lif(shape: tuple[int, int, int], *, tau: float, r: float, v_threshold: float, v_reset: float) -> Any:
    """A leaky neuron; tau in steps. In float64: SpikingJelly divides tau by the step, and 2 has to come out."""
    import nir

    full = lambda value: np.full(shape, value, "float64")
    return nir.LIF(
        tau=full(tau * STEP), r=full(r), v_leak=full(v_reset), v_threshold=full(v_threshold), v_reset=full(v_reset)
    )
