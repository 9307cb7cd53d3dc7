"""What a component costs in closed form, from the parts that it declares; no component is named here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from kspike import components
from kspike.components import geometry
from kspike.components.parts import PRODUCTS, Conv, Dense, DepthwiseConv, MatMul, Neuron, Norm, Part, Pool, Sum, split


@dataclasses.dataclass(frozen=True)
class Declared:
    """A component in its place: its parts, and how many pixels (tokens, in a block) each takes and gives.

    Equal for components that cost the same, whatever their names.

    Args:
        parts: name and part, in running order.
        pixels: of every part, those of its input and of its output.
        grid: (height, width) of what it gives.
        shortcut: whether the block adds what came in to what comes out.
        label: role and name, for messages.
    """

    parts: tuple[tuple[str, Part], ...]
    pixels: tuple[tuple[int, int], ...]
    grid: tuple[int, int]
    shortcut: bool
    label: str = dataclasses.field(default="", compare=False)

    @classmethod
    def of(cls, role: str, word: Any, network: Mapping[str, Any], size: tuple[int, int]) -> Declared:
        """Reads it off a component, by its word, told the network's settings and (height, width) of its input."""
        component = components.get(role, word)
        parts = component.declared(network)
        places = geometry.grids(parts, size).values()
        pixels = tuple((before[0] * before[1], after[0] * after[1]) for before, after in places)
        grid = geometry.last(parts, size)
        return cls(tuple(parts.items()), pixels, grid, component.shortcut, f"{role} {component.label}")

    def places(self) -> Iterator[tuple[str, Part, int, int]]:
        """(name, part, pixels of its input, of its output), in running order."""
        for (name, part), (before, after) in zip(self.parts, self.pixels, strict=True):
            yield name, part, before, after


class Declarations:
    """Collects the different declarations of one role: the same gets the same index."""

    def __init__(self, role: str) -> None:
        self.role = role
        self._found: dict[Declared, int] = {}
        self._seen: dict[tuple, tuple[int, ...]] = {}

    def places(self, words: tuple, network: Mapping[str, Any], size: tuple[int, int]) -> tuple[int, ...]:
        """Place of every word's declaration among `all`."""
        key = words, *network.values(), size  # of one role: the settings' names are the same
        found = self._seen.get(key)
        if found is None:
            each = [Declared.of(self.role, word, network, size) for word in words]
            found = self._seen[key] = tuple(self._found.setdefault(one, len(self._found)) for one in each)
        return found

    def place(self, word: Any, network: Mapping[str, Any], size: tuple[int, int]) -> int:
        """`places` of one."""
        return self.places((word,), network, size)[0]

    @property
    def all(self) -> tuple[Declared, ...]:
        """Every declaration once."""
        return tuple(self._found)


class Dimensions:
    """Numbers of the sizes that parts name: ints for one network, arrays for a population."""

    def __init__(self, known: Mapping[str, Any], label: str) -> None:
        self._known = known
        self._label = label
        self._times: dict[tuple[str, int], Any] = {}

    def __getitem__(self, size: str) -> Any:
        return self.times(size, 1)

    def times(self, size: str, factor: int) -> Any:
        """A size so many times; computed once (parts around one product have as many numbers)."""
        found = self._times.get((size, factor))
        if found is None:
            found = self._size(size) if factor == 1 else self[size] * factor
            self._times[size, factor] = found
        return found

    def _size(self, size: str) -> Any:
        name, fraction = split(size)
        if name not in self._known:
            raise ValueError(
                f"{self._label} names the size {size!r}, which it has not where it stands; there: "
                f"{', '.join(self._known)}."
            )
        return self._known[name] // fraction if fraction > 1 else self._known[name]


def updates(part: Neuron, size: Dimensions, pixels: int) -> Any:
    """Membranes that neurons update in a time step, where they stand on so many pixels or tokens."""
    return size.times(part.channels, part.copies * (pixels if part.tokens is None else part.tokens))


def neurons(declared: Declared, size: Dimensions) -> dict[str, Any]:
    """Name of every neuron -> membranes updated in a time step."""
    return {
        name: updates(part, size, after) for name, part, _, after in declared.places() if isinstance(part, Neuron)
    }


def count(declared: Declared, size: Dimensions, learned: Any) -> dict[str, dict[str, Any]]:
    """Name of every row -> its kind and its numbers; a number that is not there is 0.

    What stands before the first product counts on its row, everything else on the last product before it. Parts
    without any product count on one row of kind "other", by the name of the first.

    Args:
        learned: weights that a group of neurons learns; None where they learn none.
    """
    if not declared.parts:
        return {}
    rows: dict[str, dict[str, Any]] = {}
    row: dict[str, Any] = {"kind": "other"}  # of what stands before the first product
    for name, part, before, after in declared.places():
        if isinstance(part, PRODUCTS):
            row = rows[name] = {} if rows else row
            row["kind"] = "attention" if isinstance(part, MatMul) else "dense" if isinstance(part, Dense) else "conv"
        _add(row, _numbers(name, part, size, before, after, learned, declared.label))
    rows = rows or {declared.parts[0][0]: row}
    if declared.shortcut:
        _add(row, {"additions": size.times("width", declared.grid[0] * declared.grid[1])})
    return rows


def _add(row: dict[str, Any], numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        row[name] = row[name] + value if name in row else value


def _numbers(
    name: str, part: Part, size: Dimensions, before: int, after: int, learned: Any, label: str
) -> dict[str, Any]:
    """What one part adds to its row."""
    if isinstance(part, Dense):
        outputs, weights = size.times(part.outputs, part.copies), size[part.inputs] * size.times(part.outputs, part.copies)
        return _product(weights, weights * after, size.times(part.inputs, before), outputs, after, part.bias)
    if isinstance(part, Conv):
        weights = size[part.inputs] * size.times(part.outputs, part.kernel**2)
        elements = size.times(part.inputs, before)
        return _product(weights, weights * after, elements, size[part.outputs], after, part.bias)
    if isinstance(part, DepthwiseConv):
        weights = size.times(part.channels, part.kernel**2)
        elements = size.times(part.channels, before)
        return _product(weights, weights * after, elements, size[part.channels], after, part.bias)
    if isinstance(part, MatMul):
        stream = size.times(part.channels, after)
        return {
            "macs": stream * after,
            "elements": stream,
            "tokens": after,
            "head_dim": size[part.channels] // size["heads"],
            **({"additions": stream} if part.scaled else {}),
        }
    if isinstance(part, Norm):
        channels = part.copies
        return {"normalised": size.times(part.channels, channels * after), "parameters": size.times(part.channels, 2 * channels)}
    if isinstance(part, Neuron):
        return {"neurons": updates(part, size, after)} | ({} if learned is None else {"parameters": part.copies * learned})
    if isinstance(part, Pool):
        return {"pooled": size.times(part.channels, before)}
    if isinstance(part, Sum):
        return {"additions": size.times(part.channels, after)}
    raise ValueError(
        f"{label}: {name} is a {type(part).__name__}, which kspike.cost cannot count; make it of the parts of "
        "kspike.components.parts."
    )


def _product(weights: Any, macs: Any, elements: Any, outputs: Any, pixels: int, bias: bool) -> dict[str, Any]:
    found = {"macs": macs, "parameters": weights, "elements": elements}
    if bias:
        found |= {"parameters": weights + outputs, "additions": outputs * pixels}
    return found
