"""Networks in NIR, the neuromorphic intermediate representation, as Keras models of our layers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import keras

from kspike._files import expanded
from kspike._messages import shown
from kspike.convert.nir_nodes import Nodes

#: Seconds of a time step: what SpikingJelly, snnTorch, norse and others take by default.
STEP = 1e-4
#: Bytes of numbers that a byte of a file holds at most: what deflate reaches, and something for names.
MOST = 1100


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
        what the last node gives at each step. Layers have the nodes' names, with "_" for whatever else than letters,
        digits and "_".

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
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not 0 < dt < float("inf"):
        raise ValueError(f"Expected dt, the seconds of a time step, as a number above 0; received {shown(dt)}.")
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
        _check_sizes(file)
        graph = nir.read(str(file))
        order = list(TopologicalSorter(_sources(graph)).static_order())
    except CycleError:
        raise ValueError(f"{file.name} holds a circle of edges; only networks without one are read.") from None
    except Exception as error:  # h5py and nir raise errors of any type for a damaged or foreign file
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{file.name} is no .nir file that can be read here: {first}") from None
    return _Reader(graph, timesteps, dt).model(order)


def _check_sizes(file: Path) -> None:
    """Refuses a file that says more numbers than it can hold, or whose numbers lie in other files, before any is read.

    A stored number that was never written costs a file nothing, and the reader all its memory.
    """
    import h5py

    sizes: list[int] = []

    def see(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            if found.is_virtual or found.external:
                raise ValueError(f"the numbers of {name} lie in another file")
            sizes.append(int(found.size or 0) * found.dtype.itemsize)
        elif any(isinstance(found.get(each, getlink=True), h5py.ExternalLink) for each in found):
            raise ValueError(f"something in {name or 'it'} lies in another file")

    with h5py.File(file, "r") as opened:
        see("", opened)
        opened.visititems(see)
    largest = MOST * file.stat().st_size
    if sum(sizes) > largest:
        raise ValueError(f"it says that it holds {sum(sizes):,} bytes of numbers, more than its size allows")


def _sources(graph: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        found[target].append(source)
    return found


@contextlib.contextmanager
def _about(name: str) -> Iterator[None]:
    """Errors of Keras and of layers say which node they are about."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"The node {name} has no layer here: {error}") from None


class _Reader(Nodes):
    """Turns a graph into a model, its nodes in the order in which they run."""

    def __init__(self, graph: Any, timesteps: int, dt: float) -> None:
        super().__init__(timesteps, dt)
        self.graph = graph
        self.sources = _sources(graph)
        self.values: dict[str, Any] = {}

    def model(self, order: list[str]) -> keras.Model:
        """The whole graph."""
        inputs = outputs = None
        for name in order:
            node, kind = self.graph.nodes[name], type(self.graph.nodes[name]).__name__
            if kind == "Input":
                if inputs is not None:
                    raise ValueError(f"Expected one input; {name} is a second one.")
                with _about(name):
                    inputs = self.values[name] = self._input(self.free(name), node)
                continue
            if not self.sources[name]:
                raise ValueError(f"The node {name} has no input.")
            if kind == "Output" and outputs is not None:
                raise ValueError(f"Expected one output; {name} is a second one.")
            for each in self.sources[name]:
                if each not in self.values:
                    raise ValueError(f"The node {name} takes what {each} gives, an output, which gives nothing.")
            taken = [self.values[each] for each in self.sources[name]]
            x = taken[0] if len(taken) == 1 else keras.layers.Add()(taken)
            if kind == "Output":
                outputs = x
                continue
            read = getattr(self, f"_{kind.lower()}", None)
            if read is None:
                raise ValueError(f"The node {name} is a {kind}, which has no layer here.")
            with _about(name):
                self.values[name] = read(self.free(name), node, x)
        if inputs is None or outputs is None:
            raise ValueError("Expected a node Input and a node Output; the graph lacks one.")
        made = keras.Model(inputs, outputs, name="nir")
        for name, layer, weights in self.filled:
            with _about(name):
                layer.set_weights(weights)
        return made
